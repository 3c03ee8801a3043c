"""The same sample and view give the same pixels, whatever is around them."""

import functools
import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_kd import soft_labels
from keras_kd.soft_labels.augmentation import draws, stages

pytestmark = pytest.mark.tensorflow

SHIPPED = {
    "crop_flip": soft_labels.crop_flip,
    "random_resized_crop": soft_labels.random_resized_crop,
    "smaller": functools.partial(soft_labels.random_resized_crop, size=(3, 2)),
    "color_jitter": soft_labels.color_jitter,
    "cutout": soft_labels.cutout,
    "mixup": soft_labels.mixup,
    "cutmix": soft_labels.cutmix,
    "all": soft_labels.compose(
        soft_labels.random_resized_crop,
        soft_labels.crop_flip,
        soft_labels.color_jitter,
        soft_labels.cutout,
        soft_labels.mixup,
    ),
}

GOLDEN = {
    "crop_flip": "19dc3af46002639a",
    "random_resized_crop": "26ae69b093d61b36",
    "smaller": "626f0102f1645b72",
    "color_jitter": "601e8365eca9aa36",
    "cutout": "0e466f1323b9a4d8",
    "mixup": "5f87d1d014b9c253",
    "cutmix": "03e18e30feb7e91e",
    "all": "6aad0885e540be03",
}


def images_of(ids, shape, dtype):
    pixels = [np.random.default_rng(int(i)).integers(0, 256, shape) for i in ids]
    pixels = np.stack(pixels).astype(dtype)
    return pixels / dtype(255) if dtype is np.float32 else pixels


def shown(name, ids, shape=(9, 7, 3), dtype=np.uint8, view=0):
    """Returns images and shares as a pipeline makes them: the partner is the next sample."""
    augment = stages.Augmentation.of(SHIPPED[name])
    ids = np.asarray(ids)
    rows = draws.seeds(0, ids, view)
    images = augment.apply(images_of(ids, shape, dtype), rows)
    if not augment.mixes:
        return [images.numpy()]
    partners = augment.apply(images_of(ids + 1, shape, dtype), draws.seeds(0, ids + 1, view))
    return [part.numpy() for part in augment.mix(images, partners, rows)]


def same(one, other):
    for a, b in zip(one, other):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", SHIPPED)
@settings(deadline=None, max_examples=8, derandomize=True)
@given(
    count=st.integers(1, 19),
    shape=st.tuples(st.integers(1, 11), st.integers(1, 11), st.sampled_from([1, 3])),
    dtype=st.sampled_from([np.uint8, np.float32]),
    view=st.integers(0, 100),
)
def test_a_batch_shows_what_each_sample_shows_alone(name, count, shape, dtype, view):
    ids = np.random.default_rng(view).permutation(1000)[:count]
    whole = shown(name, ids, shape, dtype, view)
    same([part[::-1] for part in whole], shown(name, ids[::-1], shape, dtype, view))
    for place in {0, count // 2, count - 1}:
        alone = shown(name, ids[place : place + 1], shape, dtype, view)
        same([part[place : place + 1] for part in whole], alone)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(("dtype", "size"), [(np.uint8, 7), (np.float32, 16)])
def test_parallel_pipelines_show_the_same(name, dtype, size):
    import tensorflow as tf

    augment = stages.Augmentation.of(SHIPPED[name])
    ids = np.arange(50)
    parts = [images_of(ids + k, (9, 7, 3), dtype) for k in (0, 1)]
    parts += [draws.seeds(0, ids + k, 0) for k in (0, 1)]

    def show(images, partners, own, other):
        images = augment.apply(images, own)
        return augment.mix(images, augment.apply(partners, other), own) if augment.mixes else images

    direct = shown(name, ids, dtype=dtype)
    data = tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(size)
    batches = list(data.map(show, num_parallel_calls=3).prefetch(2).as_numpy_iterator())
    batches = list(zip(*batches)) if augment.mixes else [batches]
    same([np.concatenate(part) for part in batches], direct)


def digests():
    """Returns a hash of the bytes that each augmentation shows, by name and dtype."""
    return {
        f"{name} {dtype.__name__}": hashlib.sha256(
            b"".join(part.tobytes() for part in shown(name, np.arange(61), (17, 13, 3), dtype))
        ).hexdigest()[:16]
        for name in SHIPPED
        for dtype in (np.uint8, np.float32)
    }


@pytest.fixture(scope="module")
def digests_here():
    return digests()


def test_pixels_never_change(digests_here):
    assert {name: digests_here[f"{name} uint8"] for name in SHIPPED} == GOLDEN


def test_a_process_with_another_number_of_threads_shows_the_same(digests_here):
    code = (
        "import importlib.util, json, tensorflow as tf; "
        "tf.config.threading.set_intra_op_parallelism_threads(1); "
        "tf.config.threading.set_inter_op_parallelism_threads(1); "
        f"spec = importlib.util.spec_from_file_location('replay', {__file__!r}); "
        "replay = importlib.util.module_from_spec(spec); spec.loader.exec_module(replay); "
        "print(json.dumps(replay.digests()))"
    )
    there = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert json.loads(there.stdout) == digests_here
