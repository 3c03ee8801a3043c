"""Averages of whole maps, which the file computes as a mean."""

from typing import Any

import keras
from keras import ops

from keras_kd.compression.operations import averages_map
from keras_kd.networks.stand_ins import LikeItsLayer

__all__ = ["MapMean"]


@keras.saving.register_keras_serializable("keras_kd")
class MapMean(LikeItsLayer):
    """An average pooling of whole maps, computed as a mean of their places.

    The file's kernel of average pooling gives its values in the steps of what it is given. Means of
    whole maps are much smaller than the largest value in them and would have few different values
    left. The kernel of means has steps of its own.

    Args:
        layer: The `keras.layers.AveragePooling1D` or `AveragePooling2D`.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
        super().__init__(layer, **{"name": layer.name, **kwargs})
        self.built = True

    def build(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: pooling has no weights."""

    def call(self, inputs: Any) -> Any:
        """Returns what the layer gives."""
        if not averages_map(self.layer, inputs.shape):
            return self.layer(inputs)
        return ops.mean(inputs, axis=list(range(1, len(inputs.shape) - 1)), keepdims=True)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Returns a symbolic tensor of the layer's output."""
        return self.layer.compute_output_spec(inputs)
