"""Kernels in whole numbers: the layers whose kernels the file holds so."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd.compression.compressed import Compressed, KernelTransform
from keras_kd.compression.ranges import ActivationRange
from keras_kd.networks.stand_ins import LikeItsLayer

__all__ = ["Affine", "CompressedSeparable", "Quantize", "on_grid"]


def on_grid(kernel: Any, most: Any, bits: int) -> Any:
    """Returns a kernel rounded to whole numbers of a few bits, symmetric around 0.

    Args:
        kernel: The kernel.
        most: The largest magnitude, or those of the channels, which are the last axis.
        bits: The bits.
    """
    axis = len(kernel.shape) - 1 if len(most.shape) else None
    most = ops.maximum(most, 1e-9)
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -most, most, num_bits=bits, narrow_range=True, axis=axis
    )


@keras.saving.register_keras_serializable("keras_kd")
class Quantize(KernelTransform):
    """Rounds a kernel to whole numbers of a few bits, symmetric around 0.

    Args:
        index: The kernel's place among the layer's weights.
        kernel_name: The kernel's name.
        bits: 8 or 4.
        axis: The axis of the channels, each with a range of its own; `None` for one range.
        alike: Whether the channels have the same range, so that equal weights stay equal.
    """

    method = "quantize"

    def __init__(
        self,
        index: int,
        kernel_name: str,
        bits: int = 8,
        axis: int | None = None,
        alike: bool = False,
        **kwargs: Any,
    ):
        super().__init__(index, kernel_name, **kwargs)
        self.bits, self.axis, self.alike = bits, axis, alike

    def build(self, shape: Any) -> None:
        """Makes nothing: the range is that of the kernel."""
        self.built = True

    def call(self, kernel: Any, training: bool = False) -> Any:
        """Returns the kernel, rounded."""
        if self.axis is None:
            return on_grid(kernel, ops.max(ops.abs(kernel)), self.bits)
        # Channels last: of another axis Keras makes wrong shapes on JAX.
        moved = ops.swapaxes(kernel, self.axis, -1)
        most = ops.max(ops.abs(moved), axis=list(range(len(moved.shape) - 1)))
        if self.alike:
            most = ops.broadcast_to(ops.max(most), most.shape)
        return ops.swapaxes(on_grid(moved, most, self.bits), self.axis, -1)

    def fault(self, kernel: np.ndarray) -> str | None:
        """Says what is wrong with a kernel that is to be quantised, `None` if it is right."""
        rows = np.moveaxis(kernel, self.axis, 0) if self.axis is not None else kernel[None]
        rows = rows.reshape(1, -1) if self.alike else rows.reshape(len(rows), -1)
        found = max(len(np.unique(row)) for row in rows)
        return f"{found} different values in a channel" if found > 2**self.bits - 1 else None

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        own = {"bits": self.bits, "axis": self.axis, "alike": self.alike}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("keras_kd")
class CompressedSeparable(Compressed):
    """A separable convolution with a range between its two convolutions."""

    def __init__(
        self, layer: keras.layers.Layer, transforms: Sequence[KernelTransform], **kwargs: Any
    ):
        super().__init__(layer, transforms, **kwargs)
        self.between = ActivationRange(name="between")
        self.between.build()

    def around(self, layer: Any, transforms: Sequence[KernelTransform]) -> "CompressedSeparable":
        """Returns one like this, with its range, around another layer."""
        other = super().around(layer, transforms)
        other.between.set_weights(self.between.get_weights())
        return other

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Calls both convolutions."""
        layer, kernels = self.layer, self.kernels(training)
        weights = [kernels.get(i, ops.convert_to_tensor(w)) for i, w in enumerate(layer.weights)]
        how = {"padding": layer.padding, "data_format": layer.data_format}
        x = ops.depthwise_conv(
            inputs, weights[0], layer.strides, dilation_rate=layer.dilation_rate, **how
        )
        x = ops.conv(self.between(x, training=training), weights[1], 1, **how)
        if layer.use_bias:
            x = x + weights[2]
        return x if self.bare else layer.activation(x)


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
        factor = ops.rsqrt(layer.moving_variance + layer.epsilon)
        factor = factor * layer.gamma if layer.scale else factor
        offset = -layer.moving_mean * factor
        return factor, offset + layer.beta if layer.center else offset

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        """Returns a symbolic tensor like the input."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)
