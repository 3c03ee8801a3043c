"""What is not the same each time is refused before anybody is asked."""

import numpy as np
import pytest

from keras_kd import soft_labels

pytestmark = pytest.mark.tensorflow

NOT_PURE = r"augment must be a pure function.*Received: other pixels when asked again"


def with_global_random(image, seed):
    import tensorflow as tf

    return tf.image.random_flip_left_right(image)


def with_numpy(image, seed):
    import tensorflow as tf

    return tf.cast(image, "float32") + np.random.default_rng().random(dtype="float32")


@soft_labels.batched
def with_the_batch(images, seeds):
    import tensorflow as tf

    mean = tf.reduce_mean(tf.cast(images, "float32"))
    return tf.cast(images, "float32") - mean


@pytest.mark.parametrize("augment", [with_global_random, with_numpy])
def test_an_augmentation_that_draws_on_its_own(images, classifier, write, augment):
    with pytest.raises(ValueError, match=NOT_PURE):
        write(teacher=classifier(8), data=images[0], augment=augment, views=2)


def test_an_augmentation_that_looks_at_the_others(images, classifier, write):
    with pytest.raises(ValueError, match="other pixels when other images are in the batch"):
        write(teacher=classifier(8), data=images[0], augment=with_the_batch, views=2)


def test_a_dataset_without_a_stable_order(images, classifier, write):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(images[0]).shuffle(300)
    with pytest.raises(ValueError, match=r"same order each time.*without shuffle"):
        write(teacher=classifier(8), data=data)


def test_a_dataset_without_an_end(images, classifier, write):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(images[0]).repeat()
    with pytest.raises(ValueError, match=r"data must have an end.*Leave repeat\(\) out"):
        write(teacher=classifier(8), data=data)


@soft_labels.batched
def normalized(images, seeds):
    import tensorflow as tf

    return (tf.cast(images, "float32") / 255.0 - 0.449) / 0.226


def test_arithmetic_that_graphs_round_otherwise_is_pure(images, classifier, write):
    x, y = images
    soft = write(teacher=classifier(8), data=x, augment=normalized, views=2)
    for batch, _ in soft.dataset(x, y, batch_size=100):
        assert batch["keras_kd.input"].shape == (100, 8, 8, 3)


def test_a_seed_of_the_whole_program_hides_no_draws(images, classifier, write):
    import keras

    keras.utils.set_random_seed(0)
    with pytest.raises(ValueError, match=NOT_PURE):
        write(teacher=classifier(8), data=images[0], augment=with_global_random, views=2)
    keras.utils.set_random_seed(0)
    with pytest.raises(ValueError, match=NOT_PURE):
        write(teacher=classifier(8), data=images[0][:1], augment=noisy)


def noisy(image, seed):
    import tensorflow as tf

    return tf.cast(image, "float32") + tf.random.uniform(tf.shape(image), 0.0, 9.0)
