"""Layers and operations after which logits are still logits, and maps that make logits."""

from typing import Any

import keras

from keras_kd import _keras

__all__ = ["keeps_logits", "keeps_values", "maps_to_logits"]

# Weighted means of logits over positions, rescaled or padded ones, and sums of several.
_LAYERS = (
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.Permute,
    keras.layers.Rescaling,
    keras.layers.Resizing,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.ZeroPadding3D,
)
_EXACT = (
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.Permute,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling3D,
)
# Names of the operations of keras.ops.
_OPERATIONS = ("Add", "Cast", "Divide", "Mean", "Multiply", "Reshape", "Resize", "Subtract")
_OPERATIONS += ("Squeeze", "Transpose", "TrueDivide")
_MAPS = ("Dot", "Einsum", "Matmul", "Tensordot")


def maps_to_logits(operation: Any, node: _keras.Node) -> bool:
    """Whether a call is a linear map of features, such as a product with tied embeddings."""
    embedding = getattr(keras.layers, "ReversibleEmbedding", None)  # none in older Keras
    if embedding is not None and isinstance(operation, embedding):
        args, kwargs = node.args, node.kwargs
        return _keras.is_stock(operation) and bool([*args[1:2], kwargs.get("reverse")][0])
    return _is_function(operation) and type(operation).__name__ in _MAPS


def keeps_logits(operation: Any, node: _keras.Node, tensor: Any) -> bool:
    """Whether a call gives logits where all that it is given are logits, and the classes stay last.

    Args:
        operation: A layer or an operation.
        node: The call.
        tensor: What it gives.
    """
    if getattr(operation, "data_format", None) == "channels_first":
        return False
    if any(source.shape[-1] != tensor.shape[-1] for source in node.input_tensors):
        return False
    if isinstance(operation, keras.layers.Layer):
        is_moved = isinstance(operation, keras.layers.Permute) and operation.dims[-1] != len(
            operation.dims
        )
        return isinstance(operation, _LAYERS) and _keras.is_stock(operation) and not is_moved
    name = type(operation).__name__
    if not _is_function(operation) or name not in _OPERATIONS:
        return False
    if name == "Multiply":  # by a number, not with each other
        return len(node.input_tensors) == 1
    if name in ("Divide", "TrueDivide"):
        return len(node.input_tensors) == 1 and node.args[0] is node.input_tensors[0]
    last = len(node.input_tensors[0].shape) - 1
    if name == "Transpose":
        return operation.axes is not None and operation.axes[-1] in (-1, last)
    if name == "Mean":
        return operation.axis is not None and not {-1, last} & set(operation.axis)
    return True


def keeps_values(operation: Any) -> bool:
    """Whether what a call gives are values that it is given, so that softmaxes stay such, too."""
    if isinstance(operation, keras.layers.UpSampling2D):
        return operation.interpolation == "nearest"
    return isinstance(operation, _EXACT) or type(operation).__name__ == "Cast"


def _is_function(operation: Any) -> bool:
    """Whether an operation is a function of keras.ops."""
    is_layer = isinstance(operation, keras.layers.Layer)
    return not is_layer and _keras.is_stock(operation)
