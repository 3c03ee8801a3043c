"""Layers that stand in for others: what shows a head or a path looks through them."""

from typing import Any

import keras

__all__ = ["LikeIdentity", "LikeItsLayer", "seen_through"]


class LikeItsLayer(keras.layers.Wrapper):
    """A wrapper that computes what its layer computes, with other values for the weights."""


class LikeIdentity(keras.layers.Layer):
    """A layer that gives what it is given, element by element, up to rounding."""


def seen_through(operation: Any) -> Any:
    """Returns the layer within a `LikeItsLayer`, or another operation as it is."""
    return operation.layer if isinstance(operation, LikeItsLayer) else operation
