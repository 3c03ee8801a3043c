import numpy as np
import pytest

from keras_kd.soft_labels import color_jitter, cutout
from keras_kd.soft_labels.augmentation.draws import seeds, uniform

pytestmark = pytest.mark.tensorflow


def rows(count):
    return seeds(0, np.arange(count), 0)


def images(count, channels=3, shape=(6, 5)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape, channels)).astype("uint8")


def jittered(x, factors, top):
    brightness, contrast, saturation = factors
    luma = np.array([0.299, 0.587, 0.114])
    x = np.clip(x * brightness, 0, top)
    mean = (x @ luma).mean() if x.shape[-1] == 3 else x.mean()
    x = np.clip(contrast * x + (1 - contrast) * mean, 0, top)
    if x.shape[-1] == 3:
        x = np.clip(saturation * x + (1 - saturation) * (x @ luma)[..., None], 0, top)
    return x


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strengths", [(0.4, 0.4, 0.4), (0.9, 0.0, 1.5), (0.0, 2.0, 0.1)])
def test_color_jitter_follows_the_formula(channels, strengths):
    x = images(20, channels)
    low = np.maximum(0, 1 - np.array(strengths))
    factors = low + uniform(rows(20), 0, (3,)).numpy() * (1 + np.array(strengths) - low)
    expected = np.stack([jittered(one.astype(float), f, 255) for one, f in zip(x, factors)])
    shown = color_jitter(x, rows(20), *strengths).numpy()
    assert shown.dtype == np.uint8
    assert np.abs(shown - expected).max() < 0.55
    wide = color_jitter(x.astype("float32"), rows(20), *strengths).numpy()
    np.testing.assert_allclose(wide, expected, atol=0.05)
    unit = color_jitter((x / 255).astype("float32"), rows(20), *strengths).numpy()
    np.testing.assert_allclose(unit, expected / 255, atol=2e-4)


@pytest.mark.parametrize(
    ("dtype", "scale", "top"),
    [("uint8", 1, 255), ("uint16", 257, 65535), ("int32", 1, 255), ("float64", 1 / 255, 1)],
)
def test_values_stay_in_the_range_of_the_image(dtype, scale, top):
    x = (images(30).astype(float) * scale).astype(dtype)
    shown = color_jitter(x, rows(30), brightness=3.0).numpy()
    assert shown.dtype == dtype
    assert shown.min() >= 0
    assert shown.max() == top
    assert (shown == top).mean() > 0.1


def test_no_strength_leaves_the_pixels():
    np.testing.assert_array_equal(color_jitter(images(4), rows(4), 0, 0, 0), images(4))


def test_images_without_channels_are_grey():
    x = images(4, 1)
    flat, framed = color_jitter(x[..., 0], rows(4)), color_jitter(x, rows(4))
    np.testing.assert_array_equal(flat, framed[..., 0])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int32"])
@pytest.mark.parametrize(("size", "fill"), [(0.5, 0.0), (0.3, 77.0)])
def test_cutout_covers_one_box_around_a_random_pixel(dtype, size, fill):
    n, height, width = 1500, 12, 10
    x = np.full((n, height, width, 2), 9, dtype)
    shown = cutout(x, rows(n), size=size, fill=fill).numpy()
    assert shown.dtype == dtype
    covered = shown == fill
    assert ((shown == 9) | covered).all()
    np.testing.assert_array_equal(covered[..., 0], covered[..., 1])
    sides = [round(size * height), round(size * width)]
    corners = []
    for axis, side, length in zip((1, 2), sides, (height, width)):
        line = covered[..., 0].any(axis=3 - axis)
        corners.append(line.sum(axis=1))
        first, last = line.argmax(axis=1), length - 1 - line[:, ::-1].argmax(axis=1)
        np.testing.assert_array_equal(last - first + 1, corners[-1])
        # A centre c covers c - side//2 to c - side//2 + side - 1; each centre is as likely.
        starts = np.where(first > 0, first, last - side + 1) + side // 2
        counts = np.bincount(starts, minlength=length)
        mean = n / length
        assert ((counts - mean) ** 2 / mean).sum() < length - 1 + 5 * np.sqrt(2 * length - 2)
    np.testing.assert_array_equal(covered[..., 0].sum(axis=(1, 2)), corners[0] * corners[1])


def test_cutout_of_nothing_and_of_other_shapes():
    x = images(5, 3)
    np.testing.assert_array_equal(cutout(x, rows(5), size=0.0), x)
    np.testing.assert_array_equal(cutout(x[..., 0], rows(5)), cutout(x, rows(5))[..., 0])


@pytest.mark.parametrize(
    ("function", "parameters", "error", "words"),
    [
        (color_jitter, {"brightness": -0.1}, ValueError, "brightness must be .*at least 0"),
        (color_jitter, {"contrast": "a"}, TypeError, "contrast must be a finite number"),
        (color_jitter, {"saturation": np.nan}, ValueError, "saturation must be a finite number"),
        (cutout, {"size": 16}, ValueError, "size must be a finite number from 0 to 1"),
        (cutout, {"fill": None}, TypeError, "fill must be a finite number"),
    ],
)
def test_wrong_parameters_are_refused(function, parameters, error, words):
    with pytest.raises(error, match=words):
        function(images(2), rows(2), **parameters)


def test_jitter_wants_colours_or_grey():
    with pytest.raises(ValueError, match=r"one known size and 1 or 3 channels.*\(2, 6, 5, 4\)"):
        color_jitter(images(2, 4), rows(2))
