"""Kernels on the grid of whole numbers that a file holds."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd import compression
from keras_kd.compression.grids import Quantize

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


@pytest.mark.parametrize(("axis", "alike"), [(None, False), (2, False), (2, True)])
def test_settled_kernels_round_to_the_same_numbers(axis, alike):
    # Training leaves many weights halfway between two numbers, here all of them.
    kernel = (np.arange(-14, 14, dtype="float32").reshape(2, 2, 7) + 0.5) / 14
    kernel[0, 0] = -1.0
    rounding = Quantize(0, "kernel", 4, axis, alike)
    numbers = ops.convert_to_numpy(rounding.numbers(kernel))
    assert np.abs(numbers).max() == 7
    np.testing.assert_array_equal(numbers, np.round(numbers))
    settled = rounding.settled(kernel)
    np.testing.assert_array_equal(rounding.numbers(settled), numbers)
    np.testing.assert_array_equal(rounding.step(settled), rounding.step(kernel))
    np.testing.assert_allclose(settled, rounding(kernel), atol=1e-6)
