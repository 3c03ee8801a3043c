"""Layers that compute in whole numbers: those whose kernels are rounded, and norms after them."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd.compression.compressed import Compressed, KernelTransform
from keras_kd.compression.grids import on_grid
from keras_kd.compression.integers import Source, Sourced, in_steps, precise
from keras_kd.compression.kernels import called_with
from keras_kd.compression.ranges import ActivationRange
from keras_kd.networks.stand_ins import LikeItsLayer

__all__ = ["Affine", "CompressedSeparable", "FoldedNorm", "Quantized"]

L = keras.layers
# Layers whose sums are those of one kernel, with one step for each output channel or for all.
_SUMMING = (L.Dense, L.Conv1D, L.Conv2D, L.DepthwiseConv2D)


@keras.saving.register_keras_serializable("keras_kd")
class Quantized(Sourced, Compressed):
    """A layer whose kernel is rounded; inference sums whole numbers, as the file does.

    Args:
        layer: A built layer.
        transforms: The transforms of its kernel, of which the last rounds it.
        bare: Whether the layer is called without its activation, which another layer computes.
        exact: Whether inference sums whole numbers.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        transforms: Sequence[KernelTransform],
        bare: bool = False,
        exact: bool = True,
        **kwargs: Any,
    ):
        super().__init__(layer, transforms, bare, **kwargs)
        self.exact, self.sources = exact, (Source(),)
        # Whether a norm follows, which rounds its offset and this bias as one.
        self.is_normed = False
        self._sums = type(layer) in _SUMMING and layer.activity_regularizer is None
        if self._sums:
            summing = _keras.shallow_copy(layer)
            summing.__dict__["activation"] = keras.activations.linear
            _keras.set_untracked(self, "_summing_layer", summing)

    @property
    def bias(self) -> Any:
        """The layer's bias, `None` if it has none."""
        return getattr(self.layer, "bias", None)

    def step(self) -> Any:
        """Returns the step of the sums, `None` where it is not known."""
        return self.step_times(1.0)

    def step_times(self, factor: Any) -> Any:
        """Returns the step of the sums where the file multiplies the kernel by a factor."""
        step = self.sources[0].step() if self._sums else None
        if step is None:
            return None
        return step * ops.cast(self._kernel_and_step()[1] * precise(factor), "float32")

    def call(self, inputs: Any, *others: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Calls the layer, with its arguments."""
        given = self.sources[0].step() if self.exact and self._sums and not training else None
        if given is None:
            return super().call(inputs, *others, training=training, **kwargs)
        rounding, (kernel, _) = self.transforms[-1], self._kernel_and_step()
        values = {rounding.index: rounding.numbers(kernel)}
        step = self.step()
        bias = self._bias_at(step)
        if bias is not None:
            values[_place(self.layer, self.bias)] = bias
        called = self._summing_layer, values, (ops.round(inputs / given), *others), kwargs
        sums = called_with(*called)[0] * step
        return sums if self.bare else self.layer.activation(sums)

    def rounded_bias(self) -> Any:
        """Returns the bias as the file holds it, `None` where the file's is not known."""
        step = self.step()
        if step is None or self.bias is None or self.is_normed:
            return None
        return self._bias_at(step) * step

    def _bias_at(self, step: Any) -> Any:
        if self.bias is None:
            return None
        bias = ops.convert_to_tensor(self.bias) / step
        return bias if self.is_normed else ops.round(bias)

    def _kernel_and_step(self) -> tuple[Any, Any]:
        rounding = self.transforms[-1]
        kernel = self.kernels(until="quantize").get(rounding.index)
        if kernel is None:
            kernel = ops.convert_to_tensor(self.layer.weights[rounding.index])
        return kernel, rounding.step(kernel)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the layer's symbolic output."""
        self.sources[0].note(args[0])
        return super().compute_output_spec(*args, **kwargs)

    def around(self, layer: Any, transforms: Sequence[KernelTransform]) -> "Quantized":
        """Returns one like this around another layer, for the file: it does not round itself."""
        return type(self)(layer, transforms, bare=self.bare, exact=False, name=self.name)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "exact": self.exact}


def _place(layer: keras.layers.Layer, weight: Any) -> int:
    return next(index for index, each in enumerate(layer.weights) if each is weight)


@keras.saving.register_keras_serializable("keras_kd")
class FoldedNorm(Sourced, LikeItsLayer):
    """A BatchNormalization that the file folds into the convolution before it.

    Args:
        layer: The built `keras.layers.BatchNormalization`.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
        super().__init__(layer, **{"name": layer.name, "dtype": layer.dtype_policy, **kwargs})
        self.sources, self._convolution = (Source(),), None
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
        bias = self._convolution.bias
        bias = 0.0 if bias is None else ops.convert_to_tensor(bias)
        new, offset = self.step(), offset + bias * factor
        return (in_steps(inputs - bias, step) + in_steps(offset, new)) * new

    def step(self) -> Any:
        """Returns the step of the values, `None` where it is not known."""
        if self._convolution is None:
            return None
        return self._convolution.step_times(affine(self.layer)[0])

    def for_file(self) -> keras.layers.Layer:
        """Returns a BatchNormalization of one factor and an offset, rounded as the file does."""
        config = {**self.layer.get_config(), "center": True, "scale": True, "epsilon": 0.0}
        plain = type(self.layer).from_config(config)
        plain.build(self.layer.get_build_config()["input_shape"])
        factor, offset = affine(self.layer)
        step = self.step()
        if step is not None:
            bias = self._convolution.bias
            before = 0.0 if bias is None else ops.convert_to_tensor(bias) * factor
            offset = in_steps(offset + before, step) * step - before
        plain.set_weights([factor, offset, ops.zeros_like(factor), ops.ones_like(factor)])
        return plain

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        """Returns a symbolic tensor like the input."""
        self._convolution = self.sources[0].note(inputs)
        if self._convolution is not None:
            self._convolution.is_normed = True
        return keras.KerasTensor(inputs.shape, self.compute_dtype)


def affine(norm: keras.layers.Layer) -> tuple[Any, Any]:
    """Returns the factor and the offset of each channel of a BatchNormalization in inference."""
    factor = ops.rsqrt(norm.moving_variance + norm.epsilon)
    factor = factor * norm.gamma if norm.scale else factor
    offset = -norm.moving_mean * factor
    return factor, offset + norm.beta if norm.center else offset


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
        return affine(layer)

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        """Returns a symbolic tensor like the input."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)
