"""What a student takes instead of raw pixels: checked, and held against bytes and samples."""

import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export.tflite_file import normalization
from keras_kd.export.tflite_file.normalization import Normalization
from keras_kd.runtimes.tensors import TensorInfo

IMAGE = TensorInfo("image", (1, 8, 6, 3), "float32")
TOKENS = TensorInfo("tokens", (1, 12), "int32")


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ((0, 1), {"image": Normalization((0.0,), (1.0,))}),
        ({"image": (0, 1)}, {"image": Normalization((0.0,), (1.0,))}),
        (
            ([1, 2, 3], np.float32([4, 5, 6])),
            {"image": Normalization((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))},
        ),
        (None, {}),
    ],
)
def test_normalization(given, want):
    assert normalization.check(given, [IMAGE, TOKENS]) == want


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (127.5, ValueError, "must be a pair"),
        ((1, 2, 3), ValueError, "must be a pair"),
        (("a", 1), TypeError, "must be numbers"),
        ((0, 0), ValueError, "std above 0"),
        (([1, 2], 1), ValueError, "must fit the channels"),
        ((np.nan, 1), ValueError, "must fit the channels"),
        ({"ids": (0, 1)}, ValueError, r"must be for images.*keys among \['image'\]"),
        ({}, ValueError, "must be for images"),
        ({"image": 1}, ValueError, "must be a pair"),
    ],
)
def test_wrong_normalization(given, error, match):
    with pytest.raises(error, match=match):
        normalization.check(given, [IMAGE])


def test_only_images_are_normalized():
    with pytest.raises(ValueError, match="normalization must be for images"):
        normalization.check((0, 1), [TOKENS])


def test_bytes_must_mean_what_the_normalization_says():
    quantised = TensorInfo("image", (1, 8, 6, 3), "uint8", scale=1 / 127.5, zero_point=128)
    normalization.require_bytes_alike([quantised], {"image": Normalization((127.5,), (127.5,))})
    normalization.require_bytes_alike([IMAGE], {"image": Normalization((0.0,), (1.0,))})
    with pytest.raises(ValueError, match="bytes of 'image' must mean what normalization says"):
        normalization.require_bytes_alike([quantised], {"image": Normalization((0.0,), (1.0,))})
    raw = TensorInfo("image", (1, 8, 6, 3), "uint8")
    normalization.require_bytes_alike([raw], {"image": Normalization((0.0,), (1.0,))})
    with pytest.raises(ValueError, match="must mean what normalization says"):
        normalization.require_bytes_alike([raw], {"image": Normalization((0.0,), (255.0,))})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("scale", "zero_point"), [(1.0, 0), (1 / 255, 0), (1 / 127.5, 128), (None, None)]
)
def test_bytes_of_the_usual_ranges_need_no_normalization(scale, zero_point):
    image = TensorInfo("image", (1, 8, 6, 3), "uint8", scale, zero_point)
    normalization.require_bytes_alike([image, IMAGE], {})
    normalization.require_bytes_alike([TensorInfo("x", (1, 8), "uint8", 0.3, 7)], {})


def test_bytes_that_mean_no_raw_pixels_are_warned_of(in_process, tmp_path):
    x = keras.Input((12, 12, 3), name="photo")
    model = keras.Model(x, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    dark = np.random.default_rng(0).random((120, 12, 12, 3)) * 100
    with pytest.warns(
        UserWarning, match=r"bytes of the image 'photo' must mean raw .*from 0 to (100|99\.\d+)"
    ):
        export.tflite(model, tmp_path / "a.tflite", "int8", dark, io_dtype="uint8")


def test_each_image_has_its_own():
    other = TensorInfo("other", (1, 4, 4, 1), "float32")
    both = normalization.check((0, 255), [IMAGE, other, TOKENS])
    assert both == dict.fromkeys(["image", "other"], Normalization((0.0,), (255.0,)))
    with pytest.raises(ValueError, match="must fit the channels"):
        normalization.check(([1, 2, 3], 1), [IMAGE, other])
    given = {"image": ([1, 2, 3], 1), "other": (0, 1)}
    assert normalization.check(given, [IMAGE, other])["other"] == Normalization((0.0,), (1.0,))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("given", "high"), [((0, 255), 1.0), ((0, 1), 255.0), ((0, 1), 12.0), ((127.5, 127.5), 1.0)]
)
def test_samples_of_the_scale_that_is_declared(given, high):
    samples = {"image": np.linspace(0, high, 96).reshape(2, 4, 4, 3)}
    normalization.warn_of_other_scale(normalization.check(given, [IMAGE]), samples)


@pytest.mark.parametrize(("given", "high"), [((0, 1), 1.0), ((0, 255), 255.0)])
def test_samples_of_another_scale_are_warned_of(in_process, tmp_path, given, high):
    x = keras.Input((12, 12, 3), name="photo")
    model = keras.Model(x, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    photos = np.random.default_rng(0).random((120, 12, 12, 3)) * high
    with pytest.warns(UserWarning, match="samples of 'photo' must be what normalization makes"):
        export.tflite(model, tmp_path / "a.tflite", verify=photos, normalization={"photo": given})
