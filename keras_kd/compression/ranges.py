"""Activations in 8 bits: ranges that follow the data in training, and functions of fixed range."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd import _keras
from keras_kd._errors import refusal
from keras_kd.compression.integers import Source, Sourced, Stepped, counted, range_step
from keras_kd.compression.operations import name_of
from keras_kd.networks.stand_ins import LikeIdentity, LikeItsLayer

__all__ = [
    "FIXED",
    "ActivationRange",
    "FixedRange",
    "RoundedActivation",
    "check_seen",
    "is_composed",
    "ranges_of",
    "rounded",
    "within",
]

_MOMENTUM = 0.99
# So that no scale is 0 where all is 0.
_NARROWEST = 1e-5


def rounded(x: Any, low: Any, high: Any) -> Any:
    """Returns what is left of a tensor in 8 bits between two ends; gradients pass in between."""
    return keras.quantizers.fake_quant_with_min_max_vars(x, low, high, num_bits=8)


@keras.saving.register_keras_serializable("keras_kd")
class ActivationRange(Sourced, LikeIdentity):
    """Rounds activations to 8 bits in a range, which follows the data while the model trains.

    The range holds 0. It is the moving average of the batches' least and largest values; where
    it is called several times, it widens to each tensor at once and narrows slowly.

    Args:
        calls: How often it is called in a pass: by tensors that share it, and in models that are
            called several times.
        exact: Whether inference rounds halves as the kernels of the file do.
    """

    is_range = True

    def __init__(self, calls: int = 1, exact: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.calls, self.exact = calls, exact
        self.sources = tuple(Source() for _ in range(calls))
        self.supports_masking = True

    def build(self, *shapes: Any) -> None:
        """Makes the two ends, and the count of the batches seen."""
        for name, value in (("low", -6.0), ("high", 6.0), ("seen", 0.0)):
            weight = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(value),
                trainable=False,
                aggregation="mean",
                name=name,
            )
            setattr(self, name, weight)

    def call(self, inputs: Any, place: int = 0, training: bool = False) -> Any:
        """Returns the activations, rounded; `place` counts the tensors that share the range."""
        source = self.sources[place]
        low, high = ops.convert_to_tensor(self.low), ops.convert_to_tensor(self.high)
        if training:
            low, high = self._moved(ops.stop_gradient(inputs), low, high)
        elif self.exact and (step := source.step()) is not None:
            # Average pooling rounds in the steps of what it is given, and has a rule of its own.
            pools = source.is_mean and source.layer() is self
            return counted(inputs, step, low, high, pools)
        return rounded(inputs, low, high)

    def step(self) -> Any:
        """Returns the step between two activations."""
        return range_step(ops.convert_to_tensor(self.low), ops.convert_to_tensor(self.high))

    def _moved(self, inputs: Any, low: Any, high: Any) -> tuple[Any, Any]:
        seen = ops.convert_to_tensor(self.seen)
        least = ops.minimum(ops.min(inputs), 0.0)
        largest = ops.maximum(ops.max(inputs), least + _NARROWEST)
        largest = ops.maximum(largest, 0.0)
        # The first batch sets the range, the next ones count as much as those before.
        rate = ops.maximum(1.0 / (seen + 1.0), (1.0 - _MOMENTUM) / self.calls)
        low, high = low + rate * (least - low), high + rate * (largest - high)
        if self.calls > 1:
            low, high = ops.minimum(low, least), ops.maximum(high, largest)
        self.low.assign(low)
        self.high.assign(high)
        self.seen.assign(seen + 1.0)
        return low, high

    def compute_output_spec(self, inputs: Any, place: int = 0, **kwargs: Any) -> Any:
        """Returns a symbolic tensor like the input."""
        self.sources[place].note(inputs)
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "calls": self.calls, "exact": self.exact}


@keras.saving.register_keras_serializable("keras_kd")
class FixedRange(Stepped, LikeIdentity):
    """Rounds what lies between two known ends to 8 bits, e.g. probabilities.

    Args:
        low: The least value.
        high: The largest value.
    """

    is_range = True

    def __init__(self, low: float, high: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.low, self.high = low, high
        self.supports_masking = True

    def step(self) -> Any:
        """Returns the step between two activations."""
        return range_step(self.low, self.high)

    def call(self, inputs: Any) -> Any:
        """Returns the activations, rounded."""
        return rounded(inputs, self.low, self.high)

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        """Returns a symbolic tensor like the input."""
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "low": self.low, "high": self.high}


# What TFLite's kernels give these functions for a range.
FIXED = {
    "softmax": (0.0, 255 / 256),
    "sigmoid": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
}


def _silu(x: Any) -> Any:
    return x * rounded(ops.sigmoid(x), *FIXED["sigmoid"])


def _hard_sigmoid(x: Any) -> Any:
    return rounded(rounded(ops.relu6(x + 3.0), 0.0, 6.0) * (1 / 6), 0.0, 1.0)


def _hard_silu(x: Any) -> Any:
    return x * _hard_sigmoid(x)


_COMPOSED: dict[str, Callable] = {
    "silu": _silu,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
}


def is_composed(name: str | None) -> bool:
    """Whether the file computes an activation in several steps."""
    return name in _COMPOSED


@keras.saving.register_keras_serializable("keras_kd")
class RoundedActivation(LikeItsLayer):
    """An activation, of which each step that the file computes is rounded.

    Args:
        layer: The `keras.layers.Activation`.
        belongs: Whether it is that of the layer before, which has been taken out of it.
    """

    def __init__(self, layer: keras.layers.Layer, belongs: bool = False, **kwargs: Any):
        super().__init__(layer, **{"name": layer.name, **kwargs})
        self.belongs, self._composed = belongs, _COMPOSED.get(name_of(layer.activation))
        if self._composed:  # Keras applies it to what this gives, as the layer itself is not called
            self.activity_regularizer = layer.activity_regularizer
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Returns the activations."""
        return (self._composed or self.layer)(inputs)

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        """Returns a symbolic tensor like the input."""
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "belongs": self.belongs}


def ranges_of(model: keras.Model) -> list[ActivationRange]:
    """Returns the ranges in a model."""
    return [layer for layer in _keras.all_layers(model) if isinstance(layer, ActivationRange)]


def check_seen(model: keras.Model) -> bool:
    """Returns whether a model has ranges of activations.

    Raises:
        ValueError: If one of them has seen no data.
    """
    ranges = ranges_of(model)
    unseen = [layer.name for layer in ranges if layer.get_weights()[2] == 0]
    if unseen:
        raise refusal(
            "The ranges of a quantisation-aware student must have seen data",
            expected="a student that was trained for a few steps at least",
            received=f"{len(unseen)} ranges that have seen none, first {unseen[0]!r}",
            mend="Train it: fit, with a learning rate of 0 for the ranges alone",
        )
    return bool(ranges)


def within(model: keras.Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns samples of a model's inputs that lie in the ranges that it has for them.

    Args:
        model: The model.
        arrays: Samples of any values, by input name.
    """
    ranges = {layer.name.removesuffix("_range"): layer for layer in ranges_of(model)}
    draws = np.random.default_rng(0)

    def drawn(name: str, array: np.ndarray) -> np.ndarray:
        if name not in ranges:
            return array
        ends = ranges[name].get_weights()[:2]
        return draws.uniform(*ends, array.shape).astype(array.dtype)

    return {name: drawn(name, array) for name, array in arrays.items()}
