"""What cannot be asked about, or trained on, is refused with what would be right."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import soft_labels

pytestmark = pytest.mark.tensorflow


def refused(error, words):
    return pytest.raises(error, match=rf"(?s){words}.*Expected: .*Received: .*\.$")


def test_a_strategy_would_share_the_batches(classifier, write, two_replicas):
    x = np.zeros((20, 8, 8, 3), "uint8")
    with two_replicas.scope(), refused(ValueError, "must be called outside of a strategy's scope"):
        keras_kd.SoftLabels.write(None, teacher=classifier(3), data=x, verbose=0)


def streams():
    import tensorflow as tf

    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype("uint8")
    stream = tf.data.Dataset.from_tensor_slices(images)
    once = iter(images)
    spec = tf.TensorSpec((8, 8, 3), "uint8")
    return {
        "single samples": stream.batch(16),
        "single": stream.batch(15, drop_remainder=True),
        "hold at least one sample": stream.take(0),
        "the same samples": tf.data.Dataset.from_generator(lambda: once, output_signature=spec),
        "a known rank": tf.data.Dataset.from_generator(
            lambda: images, output_signature=tf.TensorSpec(None, "uint8")
        ),
        r"x, \(x, y\) or": stream.map(lambda x: (x, 0, 1.0, 2)),
    }


WRONG = ["single samples", "single", "hold at least one sample", "the same samples", "a known rank"]


@pytest.mark.parametrize("words", [*WRONG, r"x, \(x, y\) or"])
def test_datasets(classifier, write, words):
    with refused(ValueError, f"data must .*{words}"):
        write(teacher=classifier(8), data=streams()[words])


def test_a_list_of_images(images, classifier, write):
    with refused(ValueError, "one array for each input"):
        write(teacher=classifier(8), data=list(images[0]))


def test_inputs_of_another_name(images, write):
    x = keras.Input((8, 8, 3), name="image")
    teacher = keras.Model({"image": x}, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    with refused(ValueError, "The teacher must take what"):
        write(teacher=teacher, data={"picture": images[0]})
    soft = write(teacher=teacher, data={"image": images[0]})
    with refused(ValueError, "The data must be those"):
        soft.dataset({"picture": images[0]})
    with refused(ValueError, "The data must be those"):
        soft.dataset(images[0])


def nothing(image, seed):
    return None


@soft_labels.mixing
def without_a_share(images, partners, seeds):
    return images


@soft_labels.mixing
def with_too_much(images, partners, seeds):
    return images, 1.5 + soft_labels.uniform(seeds, 0, ())


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        (nothing, "augment must make a sample"),
        (without_a_share, "augment must make a sample"),
        (with_too_much, "the share of each image's own label"),
    ],
)
def test_augmentations(images, classifier, write, augment, words):
    with refused(ValueError, words):
        write(teacher=classifier(8), data=images[0], augment=augment, views=2)


def test_a_shipped_augmentation_of_a_dict(images, write):
    x = keras.Input((8, 8, 3), name="image")
    teacher = keras.Model({"image": x}, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    with refused(ValueError, "augment must make a sample.*images must be one tensor"):
        write(teacher=teacher, data={"image": images[0]}, augment=soft_labels.crop_flip, views=2)


def test_another_teacher_is_not_compared(images, classifier, write):
    soft = write(teacher=classifier(8), data=images[0])
    with refused(ValueError, "The teacher must give what is stored"):
        soft.check(classifier(8, classes=5), images[0])


@pytest.mark.parametrize(
    ("error", "given", "words"),
    [
        (TypeError, {"batch_size": None}, "batch_size must be an integer"),
        (TypeError, {"seed": 1.5}, "seed must be an integer"),
        (ValueError, {"seed": -1}, "seed must be an integer from 0"),
        (TypeError, {"y": np.array(["a"] * 300)}, "y must be numbers"),
        (ValueError, {"y": [0] * 300}, "y must have one row for each"),
    ],
)
def test_arguments_of_dataset(images, classifier, write, error, given, words):
    soft = write(teacher=classifier(8), data=images[0])
    with refused(error, words):
        soft.dataset(images[0], **given)


def test_paths(images, classifier, tmp_path):
    taken = tmp_path / "file"
    taken.touch()
    given = {"teacher": classifier(8), "data": images[0], "verbose": 0}
    with refused(FileExistsError, "must be a folder that can be written"):
        keras_kd.SoftLabels.write(taken, **given)
    with refused(TypeError, "directory must be a path"):
        keras_kd.SoftLabels.open(None)
    (tmp_path / "note.txt").touch()
    assert keras_kd.SoftLabels.write(tmp_path, **given) is not None  # other files do not matter
