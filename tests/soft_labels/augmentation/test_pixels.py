"""The last bit of a pixel: the same alone and beside others, in eager mode, graphs and pipelines.

TensorFlow rewrites the arithmetic of graphs, and that of pipelines in another way.
"""

import functools

import numpy as np
import pytest

from keras_kd import soft_labels
from keras_kd.soft_labels.augmentation import draws, stages
from keras_kd.soft_labels.augmentation.pixels import divided

pytestmark = pytest.mark.tensorflow

CROP = soft_labels.random_resized_crop
SHIPPED = {
    "crop_flip": soft_labels.crop_flip,
    "random_resized_crop": CROP,
    "other boxes": functools.partial(CROP, size=(11, 48), scale=(0.3, 0.7), ratio=(0.5, 3.0)),
    "color_jitter": soft_labels.color_jitter,
    "strong color_jitter": functools.partial(
        soft_labels.color_jitter, brightness=0.9, contrast=1.7, saturation=0.3
    ),
    "cutout": functools.partial(soft_labels.cutout, size=0.3, fill=0.1),
    "mixup": functools.partial(soft_labels.mixup, alpha=0.7),
    "cutmix": soft_labels.cutmix,
}
COUNT = 7


def samples(shape, dtype):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    is_float = "float" in dtype
    x = rng.random((COUNT, *shape)) if is_float else rng.integers(0, 127, (COUNT, *shape))
    x, ids = tf.cast(x, dtype), np.arange(COUNT)
    rows = [tf.constant(draws.seeds(3, order, 1)) for order in (ids, ids[::-1])]
    return x, rows[0], tf.reverse(x, [0]), rows[1]


def joined(batches):
    return [np.concatenate(parts) for parts in zip(*batches)]


def check_same_bits(augment, shape, dtype):
    import tensorflow as tf

    augmentation = stages.Augmentation.of(augment)

    def show(x, seeds, partner_x, partner_seeds):
        images = augmentation.apply(x, seeds)
        if not augmentation.mixes:
            return (images,)
        return augmentation.mix(images, augmentation.apply(partner_x, partner_seeds), seeds)

    given = samples(shape, dtype)
    signature = [tf.TensorSpec((None, *leaf.shape[1:]), leaf.dtype) for leaf in given]
    graph = tf.function(show, input_signature=signature)
    singles = [[leaf[i : i + 1] for leaf in given] for i in range(COUNT)]
    piped = tf.data.Dataset.from_tensor_slices(given).batch(3).map(show, num_parallel_calls=2)
    expected = [leaf.numpy() for leaf in show(*given)]
    found = {
        "graph": graph(*given),
        "graph of one size": tf.function(show)(*given),
        "alone": joined(show(*one) for one in singles),
        "alone in a graph": joined(graph(*one) for one in singles),
        "pipeline": joined(piped.as_numpy_iterator()),
    }
    for where, leaves in found.items():
        for one, other in zip(leaves, expected):
            assert np.asarray(one).tobytes() == other.tobytes(), where


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("size", [28, 48, 96, 160, 224])
def test_crops_of_any_size(size, dtype):
    check_same_bits(functools.partial(CROP, size=size), (56, 40, 3), dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "float16", "bfloat16", "float64"])
def test_crops_of_any_dtype(dtype):
    check_same_bits(functools.partial(CROP, size=28), (28, 31, 1), dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_augmentation(name, dtype):
    check_same_bits(SHIPPED[name], (28, 33, 3), dtype)


@pytest.mark.parametrize("name", ["strong color_jitter", "mixup"])
def test_arithmetic_in_float64(name):
    check_same_bits(SHIPPED[name], (28, 33, 3), "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divided_is_a_division(dtype):
    import tensorflow as tf

    values = np.arange(100_000).astype(dtype)
    for divisor in (3, 7, 56, 255, 448):
        expected = values / np.asarray(divisor, dtype)
        graph = tf.function(lambda x, d=divisor: divided(x, d))
        np.testing.assert_array_equal(divided(tf.constant(values), divisor), expected)
        np.testing.assert_array_equal(graph(values), expected)
        assert (graph(values) * divisor).numpy().max() >= 99_999
