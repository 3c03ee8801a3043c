"""Normalizations after layers that compute in whole numbers: folded into them, or on their own."""

from typing import Any

import keras
from keras import ops

from keras_kd.compression.grids import on_grid
from keras_kd.compression.integers import Source, Sourced, in_steps
from keras_kd.networks.copies import made_again
from keras_kd.networks.stand_ins import LikeItsLayer

__all__ = ["Affine", "FoldedNorm", "affine"]


@keras.saving.register_keras_serializable("keras_kd")
class FoldedNorm(Sourced, LikeItsLayer):
    """A BatchNormalization that the file folds into the convolution before it.

    Args:
        layer: The built `keras.layers.BatchNormalization`.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
        super().__init__(layer, **{"name": layer.name, "dtype": layer.dtype_policy, **kwargs})
        self.sources = (Source(),)
        self.supports_masking = layer.supports_masking
        self.built = True

    def build(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the layer is built."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Returns what the layer gives."""
        step = None if training else self.sources[0].step()
        if step is None:
            return self.layer(inputs, training=training, mask=mask)
        factor, offset = affine(self.layer)
        bias = self.sources[0].layer().bias
        bias = 0.0 if bias is None else ops.convert_to_tensor(bias)
        new, offset = self.step(), offset + bias * factor
        return (in_steps(inputs - bias, step) + in_steps(offset, new)) * new

    def step(self) -> Any:
        """Returns the step of the values, `None` where it is not known."""
        convolution = self.sources[0].layer()
        return convolution and convolution.step_times(affine(self.layer)[0])

    def rounded_offset(self) -> Any:
        """Returns the offset and the bias before it, as the file holds them together."""
        factor, offset = affine(self.layer)
        convolution = self.sources[0].layer()
        bias = convolution and convolution.bias
        offset = offset if bias is None else offset + ops.convert_to_tensor(bias) * factor
        step = self.step()
        return offset if step is None else in_steps(offset, step) * step

    def for_file(self) -> keras.layers.Layer | None:
        """Returns a BatchNormalization of one factor and an offset, rounded as the file does.

        `None` where the convolution in the file has taken both.
        """
        convolution = self.sources[0].layer()
        if convolution is not None and convolution.transforms[-1].axis is None:
            return None
        plain = made_again(self.layer, center=True, scale=True, epsilon=0.0)
        plain.build(self.layer.get_build_config()["input_shape"])
        factor, offset = affine(self.layer)
        if self.step() is not None:
            bias = convolution.bias
            before = 0.0 if bias is None else ops.convert_to_tensor(bias) * factor
            offset = self.rounded_offset() - before
        plain.set_weights([factor, offset, ops.zeros_like(factor), ops.ones_like(factor)])
        return plain

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        """Returns a symbolic tensor like the input."""
        convolution = self.sources[0].note(inputs)
        if convolution is not None:
            convolution.sources[0].norm = self
        return keras.KerasTensor(inputs.shape, self.compute_dtype)


def affine(norm: keras.layers.Layer) -> tuple[Any, Any]:
    """Returns the factor and the offset of each channel of a BatchNormalization in inference."""
    factor = ops.rsqrt(norm.moving_variance + norm.epsilon)
    factor = factor * norm.gamma if norm.scale else factor
    offset = -norm.moving_mean * factor
    return factor, offset + norm.beta if norm.center else offset


@keras.saving.register_keras_serializable("keras_kd")
class Affine(LikeItsLayer):
    """A normalization or rescaling of its own, which the file holds as a 1×1 convolution.

    In training it is the layer itself; else a depthwise convolution by a factor for each channel,
    whose weights whole numbers hold exactly.

    Args:
        layer: A built layer that multiplies and adds a number for each channel.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
        super().__init__(layer, **{"name": layer.name, "dtype": layer.dtype_policy, **kwargs})
        self.supports_masking = layer.supports_masking
        self.built = True

    def build(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the layer is built."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Returns what the layer gives."""
        if training and isinstance(self.layer, keras.layers.BatchNormalization):
            return self.layer(inputs, training=training, mask=mask)
        factor, offset = self._numbers(inputs.shape[-1])
        inputs = ops.cast(inputs, self.compute_dtype)  # of images, whole numbers
        shape = ops.shape(inputs)
        flat = (
            ops.reshape(inputs, (shape[0], -1, 1, inputs.shape[-1])) if len(shape) != 4 else inputs
        )
        factor = on_grid(ops.reshape(factor, (1, 1, 1, -1)), ops.abs(factor), 8)
        y = ops.depthwise_conv(flat, ops.swapaxes(factor, 2, 3), 1, "valid") + offset
        return ops.reshape(y, shape) if len(shape) != 4 else y

    def _numbers(self, channels: int) -> tuple[Any, Any]:
        layer = self.layer
        if not isinstance(layer, keras.layers.BatchNormalization):
            offset = ops.reshape(layer(ops.zeros((1, 1, 1, channels))), (-1,))
            return ops.reshape(layer(ops.ones((1, 1, 1, channels))), (-1,)) - offset, offset
        return affine(layer)

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        """Returns a symbolic tensor like the input."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)
