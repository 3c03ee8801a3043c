"""Which weights of a layer are kernels, by their names in the layer and in the layers within."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.compression.kernels import called_with, kernels_of


def names(layer, shape):
    layer.build(shape)
    return [kernel.name for kernel in kernels_of(layer)]


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Dense(3), (None, 4), ["kernel"]),
        (layers.SeparableConv2D(3, 3), (None, 8, 8, 2), ["depthwise_kernel", "pointwise_kernel"]),
        (layers.Embedding(9, 4), (None, 5), ["embeddings"]),
        (layers.BatchNormalization(), (None, 4), []),
    ],
)
def test_kernels_by_name(layer, shape, expected):
    assert names(layer, shape) == expected


def test_a_layer_may_be_called_with_other_values():
    dense = layers.Dense(3)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    dense.build(x.shape)
    (kernel,) = kernels_of(dense)
    before = dense.get_weights()
    twice = called_with(dense, {kernel.index: 2.0 * kernel.variable}, (x,), {})[0]
    np.testing.assert_allclose(twice, 2 * x @ before[0] + before[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(dense.get_weights()[0], before[0])
    assert keras.ops.shape(twice) == (2, 3)


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [
        (layers.Dense(3), (None, 4), [-2]),
        (layers.Conv2D(3, 3), (None, 8, 8, 2), [-2]),
        (layers.Conv1DTranspose(3, 3), (None, 8, 2), [-1]),
        (layers.Conv2DTranspose(3, 3), (None, 8, 8, 2), [-1]),
        (layers.Conv3DTranspose(3, 3), (None, 8, 8, 8, 2), [-1]),
        (layers.EinsumDense("abc,cd->abd", (None, 3)), (None, 5, 4), [-2]),
        (layers.EinsumDense("abc,dc->abd", (None, 3)), (None, 5, 4), [-1]),
        (layers.EinsumDense("abc,cde->abde", (None, 2, 3)), (None, 5, 4), [-3]),
        (layers.SeparableConv2D(3, 3), (None, 8, 8, 2), [None, -2]),
        (layers.DepthwiseConv1D(3), (None, 8, 2), [None]),
        (layers.Embedding(9, 4), (None, 5), [None]),
    ],
)
def test_where_the_inputs_of_a_sum_are(layer, shape, axes):
    layer.build(shape)
    assert [kernel.inputs_axis for kernel in kernels_of(layer)] == axes
