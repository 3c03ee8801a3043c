"""Samples from arrays, tf.data pipelines and TFDS, in a stable order."""

import keras
import numpy as np
import pytest

from keras_kd import soft_labels
from keras_kd.teachers import batch as batches

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def stream(images):
    """Returns the images as an unbatched dataset with labels."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(images)


def rows(dataset):
    """Returns `(images, answers, *labels)` of one pass over single rows, as arrays."""
    seen = [
        (batches.inputs(x), batches.answers(x)["output"], *rest)
        for x, *rest in dataset.as_numpy_iterator()
    ]
    return [np.stack(column) for column in zip(*seen)]


class Builder:
    """What is used of a TFDS builder."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.info = self
        self.supervised_keys = ("image", "label")

    def as_dataset(self, split, shuffle_files, as_supervised):
        assert (split, shuffle_files, as_supervised) == ("train", False, True)
        return self.dataset


def test_a_stream_may_be_read_as_arrays_and_arrays_as_a_stream(images, classifier, write, stream):
    x, y = images
    given = {"teacher": classifier(8), "augment": soft_labels.crop_flip, "views": 2}
    rows(write(data=x, **given).attach(stream))
    for _ in write(data=stream, **given).dataset(x, y):
        pass


@pytest.mark.parametrize("data", [[1, 2], (image for image in []), "images", None])
def test_what_is_no_data_is_refused(classifier, write, data):
    with pytest.raises(TypeError, match=r"data must be arrays, an unbatched tf.data.Dataset"):
        write(teacher=classifier(8), data=data)


def test_a_frame_is_its_numbers(write, data):
    pandas = pytest.importorskip("pandas")
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    frame = pandas.DataFrame(data[0], columns=list("abcd"))
    for _ in write(teacher=teacher, data=frame).dataset(data[0], batch_size=8):
        pass  # each row is compared with what the teacher was shown


def test_a_tfds_builder(classifier, write, stream):
    builder = Builder(stream)
    soft = write(teacher=classifier(8), data=builder)
    assert len(rows(soft.attach(builder))[2]) == 300


def test_a_stream_of_unknown_number_is_read_to_its_end(images, classifier, write, stream):
    soft = write(teacher=classifier(8), data=stream)
    shown, *_ = rows(soft.attach(stream.filter(lambda x, y: True)))
    assert len(shown) == 300
