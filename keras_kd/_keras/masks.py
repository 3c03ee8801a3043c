"""The masks that Keras' layers pass on with their tensors."""

from typing import Any

from keras import ops
from keras.src import backend

__all__ = ["keras_mask", "masked"]


def masked(tensor: Any, mask: Any) -> Any:
    """Returns a copy of `tensor` with the Keras mask `mask`."""
    copy = ops.copy(tensor)
    backend.set_keras_mask(copy, mask)
    return copy


def keras_mask(tensor: Any) -> Any:
    """Returns the mask that Keras' layers have passed on to `tensor`, or `None`."""
    return backend.get_keras_mask(tensor)
