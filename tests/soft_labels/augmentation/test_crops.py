import numpy as np
import pytest

from keras_kd.soft_labels import crop_flip, random_resized_crop
from keras_kd.soft_labels.augmentation.draws import seeds

pytestmark = pytest.mark.tensorflow

N = 4000


def rows(count=N, seed=0):
    return seeds(seed, np.arange(count), 0)


def places(shape=(8, 8), count=N):
    """Images whose pixels say where they come from: row and column, counted from 1."""
    grid = np.stack(np.meshgrid(*(np.arange(1, side + 1) for side in shape), indexing="ij"), -1)
    return np.broadcast_to(grid.astype(np.int32), (count, *grid.shape))


def likely(counts):
    """Whether counts of equally likely events are within 5 deviations, by chi-square."""
    mean = np.mean(counts)
    return ((counts - mean) ** 2 / mean).sum() < len(counts) - 1 + 5 * np.sqrt(2 * len(counts) - 2)


def test_crop_flip_is_a_shift_and_a_mirroring():
    padding, images = 3, places((8, 9))
    shown = crop_flip(images, rows(), padding=padding).numpy()
    middle = shown[:, 4, 4]  # within the image whatever the shift
    mirrored = shown[:, 4, 5, 1] < middle[:, 1]
    vertical = middle[:, 0] - 5
    horizontal = middle[:, 1] - 5  # of nine columns: the middle one, mirrored or not
    assert abs(mirrored.mean() - 0.5) < 2.5 / np.sqrt(N)
    both = (vertical + padding) * (2 * padding + 1) + horizontal + padding
    assert likely(np.bincount(both, minlength=(2 * padding + 1) ** 2))
    for number in range(50):
        padded = np.pad(images[number], [[padding] * 2, [padding] * 2, [0, 0]])
        top, left = vertical[number] + padding, horizontal[number] + padding
        expected = padded[top : top + 8, left : left + 9]
        expected = expected[:, ::-1] if mirrored[number] else expected
        np.testing.assert_array_equal(shown[number], expected)


def test_crop_flip_without_padding_is_a_flip():
    images = places((3, 4), 100)
    shown = crop_flip(images, rows(100), padding=0).numpy()
    kept = (shown == images).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(shown[~kept], images[~kept][:, :, ::-1])
    assert 30 < kept.sum() < 70


@pytest.mark.parametrize("function", [crop_flip, random_resized_crop])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 4)])
def test_dtype_and_shape_are_kept(function, dtype, shape):
    images = np.full((3, *shape), 7, dtype)
    shown = function(images, rows(3)).numpy()
    assert shown.dtype == dtype
    assert shown.shape == images.shape
    assert set(np.unique(shown)) <= {0, 7}


def boxes(images, shown):
    """Returns corners of the boxes that `shown`, a ramp resized to 64 x 64, was cut from."""
    # Clamped to centres of pixels at the edges of the box.
    return shown.min(axis=(1, 2)) - 1, shown.max(axis=(1, 2))


@pytest.mark.parametrize("shape", [(40, 40), (30, 50)])
def test_areas_and_ratios_are_as_asked(shape):
    images = places(shape, 2000).astype("float32")
    shown = random_resized_crop(images, rows(2000), size=64, scale=(0.2, 0.6)).numpy()
    starts, ends = boxes(images, shown)
    np.testing.assert_array_equal(starts, np.round(starts))
    assert (starts >= 0).all()
    assert (ends <= shape).all()
    height, width = (ends - starts).T
    area = height * width / np.prod(shape)
    assert 0.17 < area.min() < 0.25
    assert 0.5 < area.max() < 0.63
    assert np.all(width / height < 4 / 3 * 1.1)
    assert np.all(width / height > 3 / 4 / 1.1)
    assert abs(np.log(width / height).mean()) < 0.05
    if shape == (40, 40):
        assert abs(area.mean() - 0.4) < 0.015
        assert abs((starts / (np.array(shape) - (ends - starts) + 1)).mean() - 0.47) < 0.04
    mirrored = shown[:, 0, 0, 1] > shown[:, 0, -1, 1]
    assert abs(mirrored.mean() - 0.5) < 2.5 / np.sqrt(2000)


def resized(image, start, side, size):
    """Bilinear in float64, one axis after the other, within the box."""
    for axis in range(2):
        centres = (np.arange(size[axis]) + 0.5) * side[axis] / size[axis] - 0.5
        centres = np.clip(centres, 0, side[axis] - 1) + start[axis]
        known = np.arange(image.shape[axis])
        image = np.apply_along_axis(lambda v, c=centres, k=known: np.interp(c, k, v), axis, image)
    return image


@pytest.mark.parametrize("size", [(12, 12), (5, 20)])
def test_resizing_is_bilinear(size):
    random = np.random.default_rng(0).integers(0, 256, (30, 11, 13)).astype("float32")
    ramp = places((11, 13), 30).astype("float32")
    where = random_resized_crop(ramp, rows(30), size=64, flip=False).numpy()
    starts, ends = (edges.round().astype(int) for edges in boxes(ramp, where))
    shown = random_resized_crop(random, rows(30), size=size, flip=False).numpy()
    mirrored = random_resized_crop(random, rows(30), size=size).numpy()
    integers = random_resized_crop(random.astype("uint8"), rows(30), size=size, flip=False).numpy()
    for number in range(30):
        sides = ends[number] - starts[number]
        expected = resized(random[number].astype(float), starts[number], sides, size)
        np.testing.assert_allclose(shown[number], expected, atol=1e-3)
        assert np.abs(integers[number] - expected).max() <= 0.501
        kept = np.array_equal(mirrored[number], shown[number])
        assert kept or np.array_equal(mirrored[number], shown[number][:, ::-1])


def test_a_whole_image_of_the_same_size_stays():
    images = np.random.default_rng(0).random((5, 7, 9, 3)).astype("float32")
    shown = random_resized_crop(images, rows(5), scale=(1, 1), ratio=(9 / 7, 9 / 7), flip=False)
    np.testing.assert_array_equal(shown, images)


@pytest.mark.parametrize(("shape", "box"), [((8, 80), (8, 11)), ((80, 8), (11, 8))])
def test_where_no_box_fits_the_largest_with_a_ratio_in_bounds_is_taken(shape, box):
    images = places(shape, 20).astype("float32")
    shown = random_resized_crop(images, rows(20), size=64, scale=(0.9, 1.0)).numpy()
    starts, ends = boxes(images, shown)
    np.testing.assert_array_equal(ends - starts, np.broadcast_to(box, (20, 2)))


@pytest.mark.parametrize(
    ("function", "parameters", "error", "words"),
    [
        (crop_flip, {"padding": -1}, ValueError, "padding must be an integer of at least 0"),
        (crop_flip, {"padding": 1.5}, TypeError, r"padding must be .*Received: 1.5"),
        (random_resized_crop, {"size": 0}, ValueError, "size must be an integer of at least 1"),
        (random_resized_crop, {"size": (1, 2, 3)}, ValueError, "size must be height and width"),
        (random_resized_crop, {"size": "a"}, TypeError, "size must be an integer"),
        (random_resized_crop, {"scale": (0, 1)}, ValueError, "scale must be .*above 0 and at most"),
        (random_resized_crop, {"scale": (0.5, 1.1)}, ValueError, "scale must be two finite"),
        (random_resized_crop, {"scale": 0.5}, TypeError, "scale must be two finite numbers"),
        (random_resized_crop, {"ratio": (2, 1)}, ValueError, "ratio must be .* in order"),
        (random_resized_crop, {"ratio": (1, np.inf)}, ValueError, "ratio must be two finite"),
    ],
)
def test_wrong_parameters_are_refused(function, parameters, error, words):
    with pytest.raises(error, match=words):
        function(places(count=2), rows(2), **parameters)


def test_images_of_another_form_are_refused():
    import tensorflow as tf

    with pytest.raises(ValueError, match=r"images must be batches of one known.*\(2, 3\)"):
        crop_flip(np.zeros((2, 3)), rows(2))
    with pytest.raises(TypeError, match=r"images must be integers or floats.*dtype string"):
        crop_flip(tf.constant([[["a"]]]), rows(1))
    traced = tf.function(crop_flip)
    with pytest.raises(ValueError, match=r"images must be batches of one known.*None"):
        traced.get_concrete_function(
            tf.TensorSpec((2, None, 3, 3)), tf.TensorSpec((2, 2), tf.int32)
        )
