"""Kernels on the grid of whole numbers that a file holds."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd import compression

pytestmark = pytest.mark.usefixtures("rounding")


def grid(kernel, bits, axis):
    """What is left of a kernel, in float64."""
    axes = tuple(a for a in range(kernel.ndim) if a != axis)
    most = np.abs(kernel.astype("float64")).max(axis=axes, keepdims=True)
    scale = most / (2 ** (bits - 1) - 1)
    return np.round(kernel / scale) * scale


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    ("layer", "shape", "axis"),
    [
        (layers.Conv2D(5, 3), (6, 6, 3), 3),
        (layers.DepthwiseConv2D(3), (6, 6, 3), 2),
        (layers.Dense(5), (3,), None),
    ],
)
def test_kernels_are_rounded_by_channel(layer, shape, axis, bits):
    model = keras.Sequential([keras.Input(shape), layer])
    student = compression.quantize_aware(model, bits)
    compressed = next(
        x for x in student.layers if isinstance(getattr(x, "layer", None), type(layer))
    )
    kernel = ops.convert_to_numpy(compressed.kernels()[0])
    np.testing.assert_allclose(kernel, grid(np.array(layer.kernel), bits, axis), atol=1e-6)
