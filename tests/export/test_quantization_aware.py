import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export import archive
from keras_kd.export.signature import Signature


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
    assert archive.is_quantization_aware(Signature.of(aware, 1))
    assert not archive.is_quantization_aware(Signature.of(cnn, 1))


def test_int8_needs_no_calibration(in_process, aware, tmp_path):
    data = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    report = export.tflite(aware, tmp_path / "a.tflite", "int8", verify=data)
    (x,), (y,) = report.inputs, report.outputs
    assert (x.dtype, y.dtype, report.calibration_samples) == ("int8", "int8", 0)
    assert x.scale == pytest.approx(6 / 255)
    assert y.scale == pytest.approx(16 / 255)
    assert report.float_operators == {}
    assert report.relative_error < 0.05
    assert export.tflite(aware, tmp_path / "b.tflite", "int8").relative_error < 0.15


def test_int16x8_needs_it_all_the_same(aware, tmp_path):
    with pytest.raises(ValueError, match="calibration must be given for quantization='int16x8'"):
        export.tflite(aware, tmp_path / "a.tflite", "int16x8")
