"""What several teachers say together: the mean of their probabilities at a temperature.

The mean is taken in log space and given as logits `T·log Σ_m w_m·p_m`, whose softmax at the
temperature `T` is the mean. So a loss that softens its teacher's logits by `T` is exact.
"""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_kd._errors import refusal
from keras_kd.losses import MultiLabelSoftTargets
from keras_kd.losses.base import full_precision

__all__ = ["check_read_once", "mean", "reading_of", "stored_reading"]


def reading_of(term: Any) -> tuple[str, Any]:
    """Returns what the loss of a term makes of a teacher's logits, and at which temperature.

    Args:
        term: A `keras_kd.Term`.

    Returns:
        `"softmax"`, `"sigmoid"` or `"logits"` for those that are compared as they are. The
        temperature is the term's variable, or 1.0 where the loss does not divide the logits by
        one, as `HardLabels`, or has them standardized first.
    """
    if isinstance(term.loss, MultiLabelSoftTargets):
        reading = "sigmoid"
    else:
        reading = "softmax" if getattr(term.loss, "shift_invariant", False) else "logits"
    divides = term.temperature is not None and not getattr(term.loss, "standardize", False)
    return reading, term.temperature if divides else 1.0


def stored_reading(head: str | None) -> str:
    """Returns of which probabilities the stored mean of several teachers is, by their head."""
    return "sigmoid" if head == "sigmoid" else "softmax"


def check_read_once(term: Any) -> None:
    """Raises where a term reads the mean of several teachers at two temperatures."""
    if getattr(term.loss, "reads_twice", False) and float(term.temperature) != 1.0:
        raise refusal(
            f"The loss of term {term.name!r} must read an ensemble at one temperature",
            expected="temperature 1",
            received=f"{type(term.loss).__name__}, at 1 and {float(term.temperature):g}",
            mend="Pass SoftTargets(temperature=...), or a single teacher",
        )


def mean(
    logits: Sequence[Any], weights: Sequence[float], reading: str, temperature: Any = 1.0
) -> Any:
    """Returns the logits of several teachers together, float32 or wider.

    Args:
        logits: Those of each, `(batch, ..., classes)`.
        weights: The weight of each, above 0; together 1.
        reading: What is averaged: the `"softmax"` or the `"sigmoid"` of the logits over the
            temperature, or the `"logits"` themselves.
        temperature: `T`.
    """
    logits = [full_precision(each) for each in logits]
    if reading == "logits":
        return sum(weight * each for weight, each in zip(weights, logits))
    temperature = ops.cast(temperature, logits[0].dtype)
    logits = [each / temperature for each in logits]
    if reading == "softmax":
        return temperature * _log_mean([ops.log_softmax(each, axis=-1) for each in logits], weights)
    on = _log_mean([ops.log_sigmoid(each) for each in logits], weights)
    off = _log_mean([ops.log_sigmoid(-each) for each in logits], weights)
    return temperature * (on - off)


def _log_mean(logarithms: Sequence[Any], weights: Sequence[float]) -> Any:
    """Returns `log Σ_m w_m·exp(l_m)`."""
    top = logarithms[0]
    for each in logarithms[1:]:
        top = ops.maximum(top, each)
    total = sum(weight * ops.exp(each - top) for weight, each in zip(weights, logarithms))
    return ops.log(total) + top
