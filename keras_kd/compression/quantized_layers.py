"""Layers that compute in whole numbers: those whose kernels are rounded."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd.compression.compressed import Compressed, KernelTransform
from keras_kd.compression.grids import Quantize
from keras_kd.compression.integers import Source, Sourced, precise
from keras_kd.compression.kernels import called_with
from keras_kd.compression.norms import affine
from keras_kd.compression.ranges import ActivationRange
from keras_kd.compression.rebuilding import copied
from keras_kd.networks.copies import made_again

__all__ = ["CompressedSeparable", "Quantized"]

L = keras.layers
# Of a norm's factor, below which the channel is as good as constant.
_SMALLEST = 1e-9
# Layers whose sums are those of one kernel, with one step for each output channel or for all.
_SUMMING = (L.Dense, L.Conv1D, L.Conv2D, L.DepthwiseConv2D, L.Conv2DTranspose)


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
        self._sums = type(layer) in _SUMMING and layer.activity_regularizer is None
        if self._sums:
            summing = _keras.shallow_copy(layer)
            summing.__dict__["activation"] = keras.activations.linear
            _keras.set_untracked(self, "_summing_layer", summing)

    @property
    def is_normed(self) -> bool:
        """Whether a norm follows, which rounds its offset and this bias as one."""
        return self.sources[0].norm is not None

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
        kernel = self.transforms[-1].step(self._folded())
        if (own := self._factor()) is not None:
            factor = precise(factor) / precise(ops.reshape(own, (-1,)))
        return step * ops.cast(kernel * precise(factor), "float32")

    def kernels(self, training: bool | None = False, without: str = "") -> dict[int, Any]:
        """Returns the kernel that the layer computes with, by its place in its weights."""
        found, factor = super().kernels(training, "quantize"), self._factor()
        if without != "quantize":
            rounding = self.transforms[-1]
            kernel = rounding(self._folded(training), training=bool(training))
            found[rounding.index] = kernel if factor is None else kernel / factor
        return found

    def fault(self, transform: KernelTransform, kernel: Any) -> str | None:
        """Says what is wrong with a kernel, `None` if it is right."""
        if transform is self.transforms[-1] and self._factor() is not None:
            axis = -2 if isinstance(self.layer, L.Conv2DTranspose) else -1
            transform = Quantize(transform.index, transform.kernel_name, transform.bits, axis)
        return super().fault(transform, kernel)

    def _factor(self) -> Any:
        """Returns what the file multiplies the kernel with before it rounds, `None` for nothing.

        With a range for each channel the norm's factor changes the ranges alone. With one range
        for all, the file rounds the product, and so does training, with the moving statistics.
        """
        if not self.is_normed or self.transforms[-1].axis is not None:
            return None
        factor = ops.stop_gradient(affine(self.sources[0].norm.layer)[0])
        factor = ops.where(ops.abs(factor) < _SMALLEST, _SMALLEST, factor)
        return factor[:, None] if isinstance(self.layer, L.Conv2DTranspose) else factor

    def _folded(self, training: bool | None = False) -> Any:
        """Returns the kernel that is rounded."""
        rounding, factor = self.transforms[-1], self._factor()
        kernel = super().kernels(training, "quantize").get(rounding.index)
        if kernel is None:
            kernel = ops.convert_to_tensor(self.layer.weights[rounding.index])
        return kernel if factor is None else kernel * factor

    def for_file(self) -> Compressed:
        """Returns a layer that holds what the file is to hold, a folded norm included."""
        rounding, bias = self.transforms[-1], self.rounded_bias()
        if self._factor() is None:
            plain = copied(self.layer)
        else:
            plain = made_again(self.layer, use_bias=True)
            plain.build_from_config(self.layer.get_build_config())
            bias = self.sources[0].norm.rounded_offset()
        plain.weights[rounding.index].assign(rounding.settled(self._folded()))
        if bias is not None:
            plain.bias.assign(bias)
        again = type(rounding).from_config(rounding.get_config())
        return type(self)(plain, [again], bare=self.bare, exact=False, name=self.name)

    def call(self, inputs: Any, *others: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Calls the layer, with its arguments."""
        given = self.sources[0].step() if self.exact and self._sums and not training else None
        if given is None:
            return super().call(inputs, *others, training=training, **kwargs)
        rounding = self.transforms[-1]
        values = {rounding.index: rounding.numbers(self._folded())}
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

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the layer's symbolic output."""
        self.sources[0].note(args[0])
        return super().compute_output_spec(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "exact": self.exact}


def _place(layer: keras.layers.Layer, weight: Any) -> int:
    return next(index for index, each in enumerate(layer.weights) if each is weight)


@keras.saving.register_keras_serializable("keras_kd")
class CompressedSeparable(Compressed):
    """A separable convolution with a range between its two convolutions.

    Args:
        layer: A built layer.
        transforms: The transforms of its kernels.
        bare: Whether the layer is called without its activation, which another layer computes.
        calls: How often it is called in a pass of the student.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        transforms: Sequence[KernelTransform],
        bare: bool = False,
        calls: int = 1,
        **kwargs: Any,
    ):
        super().__init__(layer, transforms, bare, **kwargs)
        if not bare:  # Keras applies it to what this gives, as the layer itself is not called
            self.activity_regularizer = layer.activity_regularizer
        self.between = ActivationRange(calls, name="between")
        self.between.build()

    def around(self, layer: Any, transforms: Sequence[KernelTransform]) -> "CompressedSeparable":
        """Returns one like this, with its range, around another layer."""
        calls = self.between.calls
        other = type(self)(layer, transforms, bare=self.bare, calls=calls, name=self.name)
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

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "calls": self.between.calls}
