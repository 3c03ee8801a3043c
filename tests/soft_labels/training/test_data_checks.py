"""What `dataset`, `attach` and `fit` are given is checked before anything is read."""

import numpy as np
import pytest

from keras_kd.soft_labels.training import data_checks
from keras_kd.soft_labels.views.sources import Arrays, Stream
from keras_kd.teachers import batch

pytestmark = pytest.mark.tensorflow


def test_the_number_of_batches():
    assert data_checks.batches_of(10, 4, 1, drop_remainder=False) == 3
    assert data_checks.batches_of(10, 4, 2, drop_remainder=True) == 2
    assert data_checks.batches_of(3, 8, 1, drop_remainder=False) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((10, 5, 2, False), "batch_size must be a multiple of views_per_step=2"),
        ((10, 11, 1, True), "batch_size must be at most 10, the number of rows"),
        ((10, 0, 1, False), "batch_size must be an integer of at least 1"),
    ],
)
def test_batches_that_cannot_be_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        data_checks.batches_of(*given)


def test_samples_and_streams():
    import tensorflow as tf

    x = np.zeros((4, 2), "float32")
    dataset = tf.data.Dataset.from_tensor_slices(x)
    assert isinstance(data_checks.samples(x), Arrays)
    assert isinstance(data_checks.stream(dataset, 4), Stream)
    with pytest.raises(TypeError, match=r"dataset must be given arrays.*Use soft.attach"):
        data_checks.samples(dataset)
    with pytest.raises(TypeError, match=r"attach must be given a tf.data.*Use soft.dataset"):
        data_checks.stream(x, 4)
    with pytest.raises(TypeError, match=r"x must be the samples alone.*Received: a tuple of 2\."):
        data_checks.samples((x, x))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ((None, np.ones(4)), ValueError, "y must be given beside sample_weight"),
        ((np.ones(3), None), ValueError, "y must have one row for each"),
        (({"a": np.ones(4), "b": np.ones(5)}, None), ValueError, "y must have one row for each"),
        ((np.ones(4), np.ones(3)), ValueError, "sample_weight must have one row for each"),
        ((["a", "b", "c", "d"], None), TypeError, "y must fit|y must be numbers"),
    ],
)
def test_labels_that_cannot_be_are_refused(given, error, words):
    with pytest.raises((error, ValueError), match=words):
        data_checks.labels(4, *given)


def test_labels_come_out_as_arrays():
    assert data_checks.labels(4, None, None) == {}
    found = data_checks.labels(2, {"a": np.int32([1, 2])}, np.ones(2))
    assert found["y"]["a"].tolist() == [1, 2]
    assert found["sample_weight"].tolist() == [1.0, 1.0]


def test_data_for_fit():
    import tensorflow as tf

    record = np.dtype([("output", "<f2", (3,))])
    carried = batch.with_answers(np.zeros((4, 2)), {"output": np.zeros((4, 3), "float16")})
    rows = tf.data.Dataset.from_tensor_slices((carried, np.zeros(4)))
    data_checks.check_training_data(rows.batch(2), record)
    with pytest.raises(ValueError, match="must come in batches"):
        data_checks.check_training_data(rows, record)
    with pytest.raises(ValueError, match="must carry the stored answers"):
        data_checks.check_training_data(tf.data.Dataset.from_tensor_slices(np.zeros(4)), record)
