"""Does the teacher still say what is stored?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._errors import refusal
from keras_kd.networks.heads import Head
from keras_kd.soft_labels.storage.records import Record

__all__ = ["Agreement", "compare"]

# The top class of most answers beyond this: nothing but the hard label is left to learn.
_NEARLY_ONE_HOT = 0.99
# Answers that are undecided may change their top class by rounding, not more than some.
_SAME_TOP = 0.8


@dataclass(frozen=True)
class Agreement:
    """What asking again has found.

    Attributes:
        answers: How many answers were compared.
        max_error: Largest difference of a logit, after storage.
        same_top_class: Part of the answers with the same top class.
        confidence: Median probability of the teacher's top class, `None` where classes do not
            exclude each other.
    """

    answers: int
    max_error: float
    same_top_class: float
    confidence: float | None

    def __str__(self) -> str:
        lines = [
            f"{self.answers} answers: largest difference {self.max_error:.2g}, "
            f"same top class {self.same_top_class:.1%}"
        ]
        if self.confidence is not None:
            lines.append(f"the teacher's top class has a median probability {self.confidence:.4f}")
        if self.confidence is not None and self.confidence > _NEARLY_ONE_HOT:
            lines.append(
                "Such answers are nearly one-hot: the teacher knows these samples by heart. "
                "Distil with SoftTargets(temperature=2.0, standardize=True), or more augmentation."
            )
        return "\n".join(lines)


def compare(
    fresh: dict[str, np.ndarray],
    stored: dict[str, np.ndarray],
    records: dict[str, Record],
    heads: dict[str, Head],
) -> Agreement:
    """Compares answers with stored ones.

    Args:
        fresh: The teacher's logits by output, `(n, ...)`.
        stored: What was read for the same views.
        records: How each signal is stored.
        heads: The teacher's heads.

    Raises:
        ValueError: If they differ by more than their storage explains.
    """
    errors, tops, confidences = [], [], []
    for name, record in records.items():
        if name not in fresh or fresh[name].shape[1:] != record.shape:
            raise _others(name, record.shape, {n: v.shape[1:] for n, v in fresh.items()})
        new = record.encode(name, fresh[name])
        old = {field: stored[field].astype("float64") for field in new}
        same_top = _top(old, name, record) == _top(new, name, record)
        # Of top classes, rank by rank; where ranks have changed, the same logits stand there.
        error = max(float(np.abs(old[f] - new[f]).max()) for f in new if not f.endswith(".indices"))
        errors.append(error)
        if name in heads:
            tops.append(same_top)
        # Half precision rounds to 2^-11 of the value; the teacher itself differs by batch size.
        largest = max(float(np.abs(values).max()) for f, values in old.items() if ".ind" not in f)
        allowed = 2e-3 * max(1.0, largest)
        if error > allowed or (name in heads and same_top.mean() < _SAME_TOP):
            raise _differs(name, allowed, error, same_top.mean())
        if name in heads and heads[name].kind in ("softmax", "logits"):
            confidences.append(np.median(_softmax(fresh[name]).max(axis=-1)))
    return Agreement(
        answers=len(next(iter(fresh.values()))),
        max_error=max(errors),
        same_top_class=float(np.mean([top.mean() for top in tops])),
        confidence=float(np.mean(confidences)) if confidences else None,
    )


def _top(values: dict[str, Any], name: str, record: Record) -> np.ndarray:
    if record.top_k is None:
        return np.argmax(values[name], axis=-1)
    return values[f"{name}.indices"][..., 0].astype("int64")


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype("float64") - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _others(name: str, shape: tuple, received: dict[str, tuple]) -> ValueError:
    return refusal(
        f"The teacher must give what is stored at {name!r}",
        expected=f"shape {shape}",
        received=f"{received}",
        mend="Pass the teacher that SoftLabels.write was given",
    )


def _differs(name: str, allowed: float, error: float, same_top: float) -> ValueError:
    return refusal(
        f"The stored answers at {name!r} must be those of the teacher",
        expected=f"differences up to {allowed:.2g}, the same top classes",
        received=f"{error:.2g}, {same_top:.1%} the same",
        mend="Pass the teacher that SoftLabels.write was given, or write the labels again",
    )
