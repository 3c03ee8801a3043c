"""What each member does for an ensemble."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from keras_kd._errors import refusal, shown, wrong
from keras_kd._text import markdown
from keras_kd.networks.label_layouts import class_ids
from keras_kd.report import measures
from keras_kd.soft_labels.answers import StoredAnswers
from keras_kd.teachers.members import shares

__all__ = ["EnsembleReport", "ensemble"]


@dataclass(frozen=True)
class EnsembleReport:
    """How often members of an ensemble are right: each alone, all of them, all but one.

    Attributes:
        weights: The weight of each member; together 1.
        each: The share of right answers of each member alone.
        all: That of the mean of their probabilities.
        without: That of the mean without this member; empty where there is only one.
        samples: Number of samples.
    """

    weights: dict[str, float]
    each: dict[str, float]
    all: float
    without: dict[str, float]
    samples: int

    def __str__(self) -> str:
        header = ["Member", "Weight", "Alone", "All but it"]
        rows = [
            [name, f"{self.weights[name]:.3g}", f"{alone:.2%}", f"{self.without[name]:.2%}"]
            if name in self.without
            else [name, f"{self.weights[name]:.3g}", f"{alone:.2%}", "-"]
            for name, alone in self.each.items()
        ]
        table = markdown(header, [*rows, ["all", "1", f"{self.all:.2%}", "-"]])
        return f"{table}\n\n{self.verdict()}"

    def to_json(self) -> str:
        """Returns all values as JSON."""
        return json.dumps(asdict(self), indent=2)

    def verdict(self) -> str:
        """Returns in a sentence whether the ensemble is worth its members."""
        best = max(self.each, key=self.each.__getitem__)
        gain = f"{100 * (self.all - self.each[best]):+.2f} points"
        said = f"On {self.samples:,} samples all are at {gain} from their best, {best!r}."
        idle = [name for name, share in self.without.items() if share >= self.all]
        return f"{said} Right as often without any one of {idle}." if idle else said


def ensemble(
    answers: Mapping[str, Any],
    y: Any,
    weights: Sequence[float] | None = None,
    *,
    head: str | None = None,
) -> EnsembleReport:
    """Compares an ensemble with each of its members, and with what the others are without it.

    No teacher is asked: what they have answered is enough.

    Args:
        answers: By the member's name, its logits or probabilities `(samples, classes)`, or a
            `SoftLabels` of it with all classes, of whose views the first epoch's count.
        y: The labels of the samples: class ids, or one-hot rows.
        weights: The weight of each member, at least 0, as in `keras_kd.teachers.Ensemble`. Default:
            equal ones.
        head: What arrays among the answers are: `"logits"`, `"softmax"` or `"sigmoid"`. Default:
            as the numbers tell; those from 0 to 1 are probabilities.

    Raises:
        TypeError: If models come instead of their answers.
        ValueError: If answers, labels and weights do not fit each other.

    Example:
    ```python
    print(keras_kd.report.ensemble({"a": a.predict(x_val), "b": b.predict(x_val)}, y_val))
    ```
    """
    if not answers:
        rule, mend = "hold one member or more", "Pass e.g. {'a': logits_a, 'b': logits_b}"
        raise wrong("answers", rule, answers, mend=mend)
    said = {name: _probabilities(name, given, head) for name, given in answers.items()}
    shapes = {name: p.shape for name, p in said.items()}
    if len(set(shapes.values())) > 1:
        rule, mend = "be about the same samples and classes", "Ask all of them about one x"
        raise wrong("answers", rule, shapes, expected="one shape", mend=mend)
    labels = class_ids(y, *next(iter(shapes.values())))
    shares = _shares(weights, list(said))
    return EnsembleReport(
        shares,
        {name: measures.top_k(p, labels, 1) for name, p in said.items()},
        _right(said, shares, labels),
        {
            name: _right({n: p for n, p in said.items() if n != name}, shares, labels)
            for name in said
            if any(shares[other] for other in said if other != name)
        },
        len(labels),
    )


def _right(said: dict[str, np.ndarray], shares: dict[str, float], labels: np.ndarray) -> float:
    return measures.top_k(sum(shares[name] * p for name, p in said.items()), labels, 1)


def _probabilities(name: str, given: Any, head: str | None) -> np.ndarray:
    if isinstance(given, StoredAnswers):
        stored = given.arrays()
        if len(stored) != 1 or next(iter(stored.values())).ndim != 2:
            fields = {key: values.shape for key, values in stored.items()}
            raise refusal(
                f"Stored answers of {name!r} must be those of one teacher to all classes",
                expected="one array (samples, classes)",
                received=shown(fields),
                mend="Write them with top_k=None, of one member at a time",
            )
        (own,) = given.heads.values()
        given, head = next(iter(stored.values())).astype("float64"), "logits"
        if own.kind == "sigmoid":
            given, head = 1 / (1 + np.exp(-given)), "sigmoid"
    if isinstance(given, keras.Model):
        rule, mend = "be its answers", f"Pass {{{name!r}: model.predict(x), ...}}"
        kind = f"answers[{name!r}]"
        raise wrong(kind, rule, given, expected="an array", mend=mend, error=TypeError)
    return measures.probabilities(given, f"answers of {name!r}", head)


def _shares(weights: Sequence[float] | None, names: list[str]) -> dict[str, float]:
    return dict(zip(names, shares(weights, len(names))))
