import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export.conversion import serving
from keras_kd.export.student.signature import Signature
from keras_kd.export.tflite_file import requirements


class FakeQuantized(keras.layers.Layer):
    """Rounds to 8 bits in a range, as quantisation-aware training does."""

    def __init__(self, low, high, **kwargs):
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def call(self, x):
        import tensorflow as tf

        return tf.quantization.fake_quant_with_min_max_args(x, self.low, self.high)


@pytest.fixture
def aware():
    layers = keras.layers
    x = keras.Input((6,), name="x")
    y = layers.Dense(16, activation="relu")(FakeQuantized(-3.0, 3.0)(x))
    y = layers.Dense(4)(FakeQuantized(0.0, 6.0)(y))
    return keras.Model(x, FakeQuantized(-8.0, 8.0)(y))


def test_found_in_the_graph(aware, cnn):
    assert serving.is_quantization_aware(Signature.of(aware, 1))
    assert not serving.is_quantization_aware(Signature.of(cnn, 1))


def test_int8_needs_no_calibration(in_process, aware, tmp_path):
    data = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    report = export.tflite(aware, tmp_path / "a.tflite", "int8", verify=data)
    (x,), (y,) = report.inputs, report.outputs
    assert (x.dtype, y.dtype, report.calibration_samples) == ("int8", "int8", 0)
    assert x.scale == pytest.approx(6 / 255)
    assert y.scale == pytest.approx(16 / 255)
    assert report.float_operators == {}
    assert report.relative_error < 0.05


def test_it_is_checked_on_real_samples_only(aware, tmp_path):
    with pytest.raises(
        ValueError, match=r"calibration must be given .*, or verify for a quantisation-aware"
    ):
        export.tflite(aware, tmp_path / "a.tflite", "int8")


@pytest.mark.parametrize("io_dtype", ["int8", "float32"])
def test_ranges_that_are_missing_need_calibration(in_process, tmp_path, io_dtype):
    x = keras.Input((6,), name="x")
    y = keras.layers.Dense(16, activation="relu")(FakeQuantized(-3.0, 3.0)(x))
    partly = keras.Model(x, keras.layers.Dense(4)(keras.layers.Dense(16)(y)))
    data = np.random.default_rng(0).normal(size=(120, 6)).astype("float32")
    path = tmp_path / "a.tflite"
    match = r"bring every tensor's range.*floats in .*FULLY_CONNECTED.*calibration="
    with pytest.raises(export.VerificationError, match=match):
        export.tflite(partly, path, "int8", io_dtype=io_dtype, verify=data)
    assert not path.exists()
    report = export.tflite(partly, path, "int8", data, io_dtype=io_dtype)
    assert report.float_operators == {}


def test_float_ends_are_found():
    ends = {"x": "int8", "output_0": "float32"}
    requirements.require_quantized({}, ends, "float32")
    with pytest.raises(export.VerificationError, match="floats in output_0 float32"):
        requirements.require_quantized({}, ends, "int8")


def test_int16x8_needs_it_all_the_same(aware, tmp_path):
    with pytest.raises(ValueError, match="calibration must be given for quantization='int16x8'"):
        export.tflite(aware, tmp_path / "a.tflite", "int16x8")
