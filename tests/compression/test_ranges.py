"""Ranges of activations follow the data."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd
from keras_kd import compression
from keras_kd.compression.ranges import ActivationRange

pytestmark = pytest.mark.usefixtures("rounding")


def test_a_range_follows_the_data():
    moving, shared = ActivationRange(), ActivationRange(calls=2)
    batches = [np.array([[-1.0, 3.0]], "float32"), np.array([[0.5, 1.0]], "float32")]
    for layer in (moving, shared):
        for batch in batches:
            layer(batch, training=True)
        layer(np.array([[9.0]], "float32"))  # does not count
    np.testing.assert_allclose([moving.low, moving.high], [-0.5, 2.0])  # the mean of both
    assert (float(shared.low), float(shared.high)) == (-0.5, 2.0)
    shared(np.array([[-4.0, 0.0]], "float32"), training=True)
    assert float(shared.low) == -4.0
    steps = (
        (ops.convert_to_numpy(moving(np.linspace(-1, 3, 99, dtype="float32"))) + 0.5) / 2.5 * 255
    )
    np.testing.assert_allclose(steps, np.round(steps), atol=0.51)
    assert steps.min() >= -0.51
    assert steps.max() <= 255.51


@pytest.mark.tensorflow
def test_ranges_that_saw_no_data(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="ranges of a quantisation-aware student must have seen"):
        keras_kd.export.tflite(compression.quantize_aware(model), tmp_path / "s.tflite", "int8")
