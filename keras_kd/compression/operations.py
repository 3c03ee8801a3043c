"""Kinds of operations: which give values that they are given, and which compute an activation."""

from typing import Any

import keras

from keras_kd.networks.final_activation import known_name
from keras_kd.networks.stand_ins import seen_through

__all__ = ["L", "activation_of", "averages_map", "is_fused", "keeps_values", "name_of"]

L = keras.layers

# Layers that give values that they are given: the range before them holds after them, too.
_SAME = (
    L.Flatten,
    L.Reshape,
    L.Permute,
    L.RepeatVector,
    L.Identity,
    L.Embedding,
    L.Dropout,
    L.SpatialDropout1D,
    L.SpatialDropout2D,
    L.GaussianDropout,
    L.GaussianNoise,
    L.AlphaDropout,
    L.ActivityRegularization,
    L.MaxPooling1D,
    L.MaxPooling2D,
    L.GlobalMaxPooling1D,
    L.GlobalMaxPooling2D,
    L.ZeroPadding1D,
    L.ZeroPadding2D,
    L.Cropping1D,
    L.Cropping2D,
    L.UpSampling1D,
)
_SAME_FUNCTIONS = ("Reshape", "Transpose", "GetItem", "Squeeze", "ExpandDims", "Cast")


def name_of(activation: Any) -> str:
    """Returns the name of an activation function of Keras or a backend; `"other"` of all others."""
    return "linear" if activation is None else known_name(activation) or "other"


def activation_of(operation: Any) -> str | None:
    """Returns the name of the function that an activation layer computes; `None` of others."""
    layer = seen_through(operation)
    if isinstance(layer, L.ReLU):
        plain = not layer.negative_slope and not layer.threshold
        limits = {None: "relu", 6.0: "relu6"}
        return limits.get(layer.max_value, "other") if plain else "other"
    if isinstance(layer, L.Softmax):
        return "softmax" if layer.axis in (-1, [-1]) else "other"
    if isinstance(layer, L.Activation):
        return name_of(layer.activation)
    names = {"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Softmax": "softmax"}
    return names.get(type(operation).__name__)


def is_fused(name: str | None) -> bool:
    """Whether kernels compute this activation on the way out."""
    return name in ("relu", "relu6", "linear")


def keeps_values(operation: Any) -> bool:
    """Whether an operation gives values that it is given, in another order or place."""
    layer = seen_through(operation)
    if isinstance(layer, L.UpSampling2D):
        return layer.interpolation == "nearest"
    is_layer = isinstance(operation, keras.layers.Layer)
    by_name = not is_layer and type(operation).__name__ in _SAME_FUNCTIONS
    return isinstance(layer, _SAME) or activation_of(operation) == "linear" or by_name


def averages_map(layer: Any, shape: Any) -> bool:
    """Whether a layer is an average pooling that makes one value of each map of a shape."""
    if not isinstance(layer, L.AveragePooling1D | L.AveragePooling2D):
        return False
    if layer.data_format != "channels_last" or tuple(shape[1:-1]) != tuple(layer.pool_size):
        return False
    return set(layer.compute_output_shape(shape)[1:-1]) == {1}
