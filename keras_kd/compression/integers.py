"""Whole numbers: how inference computes just what the kernels of an integer file compute.

Rounded activations and kernels are multiples of a step. Computed on them as floats, sums come out
a last bit above or below, and where a value lies halfway between two whole numbers the file rounds
the other way: one such value in a thousand changes most of the logits of a deep student by a step.
So inference counts in steps, which floats hold exactly up to 2^24.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd.compression.operations import (
    L,
    activation_of,
    averages_map,
    is_fused,
    keeps_values,
)
from keras_kd.networks.stand_ins import seen_through

__all__ = ["Source", "Sourced", "Stepped", "counted", "in_steps", "precise", "range_step"]

# A layer, and the factor between its step and that of the values asked for.
_Found = tuple[Any, float]


class Source:
    """Where the values come from that a layer is called on, and their step.

    It is settled once the student's graph is complete: calls in other graphs, e.g. on a new
    `keras.Input`, leave the student's answers as they are.
    """

    def __init__(self) -> None:
        self._found: list[_Found | None] = []
        self._settled = False
        # The norm that computes on the layer's sums alone. Here, where Keras does not look for
        # weights to save.
        self.norm: Any = None

    def settle(self) -> None:
        """Ends the search."""
        self._settled = True

    def note(self, tensor: Any) -> Any:
        """Remembers the symbolic tensor that the layer is called on, and returns its layer."""
        if not self._settled and _keras.has_origin(tensor):  # else Keras looks for shapes alone
            found = _origin(tensor)
            if not any(found == each for each in self._found):
                self._found.append(found)
        return self.layer()

    @property
    def _only(self) -> _Found:
        return (len(self._found) == 1 and self._found[0]) or (None, 1.0)

    def layer(self) -> Any:
        """Returns the layer that gives the values, `None` where there is not one."""
        return self._only[0]

    @property
    def is_mean(self) -> bool:
        """Whether the values are means of others."""
        return self._only[1] < 1

    def step(self) -> Any:
        """Returns the step, a scalar or one for each channel; `None` where there is not one."""
        layer, factor = self._only
        step = layer.step() if layer else None
        return None if step is None else step * factor


class Stepped:
    """A mixin for layers whose values are multiples of a step."""

    def step(self) -> Any:
        """Returns the step, a scalar or one for each channel; `None` where it is not known."""
        raise NotImplementedError


class Sourced(Stepped):
    """A mixin for layers that have to know the step of what they are called on.

    Attributes:
        sources: Of each tensor that it is called on. Plain objects, which Keras does not track.
    """

    sources: tuple[Source, ...]

    def settle(self) -> None:
        """Keeps the sources as they are, because the student's graph is complete."""
        for source in self.sources:
            source.settle()

    def load_own_variables(self, store: Any) -> None:
        """Loads the layer's own weights, which Keras does once the graph is complete."""
        super().load_own_variables(store)
        self.settle()


def _origin(tensor: Any) -> _Found | None:
    operation, node, _ = _keras.origin(tensor)
    if not node.input_tensors:
        return None
    if isinstance(operation, Stepped):
        return operation, 1.0
    before = _origin(node.input_tensors[0])
    if before is None:
        return None
    if is_fused(activation_of(operation)):
        return before
    if not getattr(before[0], "is_range", False):
        return None
    if keeps_values(operation):
        return before
    count = _averaged(operation, node.input_tensors[0].shape)
    return (before[0], before[1] / count) if count else None


def _averaged(operation: Any, shape: Any) -> int | None:
    """Returns how many values a pooling layer takes the mean of; `None` of other layers."""
    layer = seen_through(operation)
    if isinstance(layer, L.GlobalAveragePooling2D):
        known = layer.data_format == "channels_last" and None not in shape[1:3]
        return math.prod(shape[1:3]) if known else None
    if not isinstance(layer, L.AveragePooling2D):
        return None
    is_known = layer.padding == "valid" or averages_map(layer, shape)
    return math.prod(layer.pool_size) if is_known else None


def range_step(low: Any, high: Any) -> Any:
    """Returns the step of 8 bits between two ends."""
    return ops.cast((precise(high) - precise(low)) / 255.0, "float32")


def precise(x: Any) -> Any:
    """Returns numbers in 64 bits where the backend has them, as the converter computes steps.

    In 32 bits graphs multiply by the reciprocal of a constant, which misses by a last bit.
    """
    return ops.cast(x, "float32" if keras.backend.backend() == "jax" else "float64")


def counted(values: Any, step: Any, low: Any, high: Any, is_mean: bool = False) -> Any:
    """Rounds values of a known step to 8 bits between two ends, as the file's kernels do.

    Args:
        values: Values that are multiples of `step`, up to the last bits.
        step: Their step, a scalar or one for each channel.
        low: The lower end, at most 0.
        high: The upper end, at least 0.
        is_mean: Whether they are means of values of the same range, of which halves are rounded
            away from the middle of the range.
    """
    new = range_step(low, high)
    zero = ops.round(-low / new)
    numbers = in_steps(values, step) * (step / new)
    if is_mean:
        signed = numbers + zero - 128.0
        numbers = ops.sign(signed) * ops.floor(ops.abs(signed) + 0.5) - zero + 128.0
    return ops.clip(ops.round(numbers), -zero, 255.0 - zero) * new


def in_steps(values: Any, step: Any) -> Any:
    """Returns the whole numbers of steps that are nearest to values."""
    return ops.round(values / _nonzero(step))


def _nonzero(step: Any) -> Any:
    return ops.where(ops.abs(step) < 1e-30, 1.0, step)
