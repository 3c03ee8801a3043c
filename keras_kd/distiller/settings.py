"""Scalars that act on the next execution once they are assigned, without a new trace."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

if TYPE_CHECKING:
    from keras_kd.distiller.terms.term import Term

__all__ = ["ALPHA", "STUDENT_POWER", "live_scalar", "out_of_range"]

# The plain form's defaults, chosen by benchmarks/accuracy.py.
ALPHA = 0.8  # the labels' share
STUDENT_POWER = 0.5  # of the temperature that is found


def live_scalar(layer: keras.layers.Layer, name: str, value: float) -> keras.Variable:
    """Adds a float32 scalar that acts on the next step after `assign`, and is saved."""
    return layer.add_weight(
        shape=(),
        initializer=keras.initializers.Constant(value),
        dtype="float32",
        trainable=False,
        name=name,
    )


def out_of_range(hard_weight: keras.Variable, terms: Iterable["Term"], plain: bool) -> Any:
    """Returns whether something else has been assigned than `compile` would take, a boolean scalar.

    Args:
        hard_weight: The weight of the hard loss.
        terms: The terms, with weights and temperatures.
        plain: Whether `hard_weight` is `alpha`, which ends at 1.
    """
    terms = list(terms)
    weights = ops.stack([hard_weight.value, *(term.weight.value for term in terms)])
    fine = ops.all(ops.isfinite(weights) & (weights >= 0))
    if plain:
        fine = fine & (hard_weight.value <= 1)
    for term in terms:
        if term.temperature is not None:
            value = term.temperature.value
            fine = fine & ops.isfinite(value) & (value > 0)
    return ~fine
