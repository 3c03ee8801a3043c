"""Kernels rounded to the grid of whole numbers that the file holds."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd.compression.compressed import KernelTransform
from keras_kd.compression.integers import precise

__all__ = ["Quantize", "on_grid"]

# So that no step is 0 where all is 0.
_SMALLEST = 1e-9


def on_grid(kernel: Any, most: Any, bits: int) -> Any:
    """Returns a kernel rounded to whole numbers of a few bits, symmetric around 0.

    Args:
        kernel: The kernel.
        most: The largest magnitude, or those of the channels, which are the last axis.
        bits: The bits.
    """
    axis = len(kernel.shape) - 1 if len(most.shape) else None
    most = ops.maximum(most, _SMALLEST)
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
        most = self._most(kernel)
        if self.axis is None:
            return on_grid(kernel, most, self.bits)
        # Channels last: of another axis Keras makes wrong shapes on JAX.
        moved = ops.swapaxes(kernel, self.axis, -1)
        most = ops.broadcast_to(most, moved.shape[-1:])
        return ops.swapaxes(on_grid(moved, most, self.bits), self.axis, -1)

    def step(self, kernel: Any) -> Any:
        """Returns the step of a kernel before it is rounded, a scalar or one for each channel."""
        return precise(ops.maximum(self._most(kernel), _SMALLEST)) / (2 ** (self.bits - 1) - 1)

    def numbers(self, kernel: Any) -> Any:
        """Returns the whole numbers that a kernel is rounded to, in float32.

        Training drives many weights to the middle between two of them, where only the rounding
        itself tells which one it takes.
        """
        step = ops.cast(self.step(kernel), "float32")
        rounded = self(kernel)
        if self.axis is None:
            return ops.round(rounded / step)
        return ops.swapaxes(ops.round(ops.swapaxes(rounded, self.axis, -1) / step), self.axis, -1)

    def settled(self, kernel: Any) -> Any:
        """Returns the rounded kernel, which rounds to the same numbers at the same step again."""
        at_end = ops.abs(self.numbers(kernel)) == 2 ** (self.bits - 1) - 1
        # The step is made of the largest magnitudes, to the last bit.
        return ops.where(at_end, ops.sign(kernel) * self._most(kernel, True), self(kernel))

    def _most(self, kernel: Any, keepdims: bool = False) -> Any:
        one = self.axis is None or self.alike
        axes = [axis for axis in range(len(kernel.shape)) if one or axis != self.axis]
        return ops.max(ops.abs(kernel), axis=axes, keepdims=keepdims)

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
