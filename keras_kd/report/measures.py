"""What the answers of one model are worth, from its outputs on labelled samples."""

from typing import Any

import numpy as np

from keras_kd._errors import check_choice, refusal
from keras_kd.networks.heads import KINDS
from keras_kd.teachers.host import check_not_percent

__all__ = ["calibration_error", "probabilities", "top_k"]

_SLACK = 1e-3  # by which rounding may take a probability above 1


def probabilities(outputs: Any, name: str = "outputs", head: str | None = None) -> np.ndarray:
    """Returns the class probabilities of outputs, in float64.

    Without `head`, numbers outside of 0 and 1 are logits. Numbers within are probabilities: of
    sigmoids, which stay as they are, where most rows add up to more than 1.05, otherwise of a
    softmax, whose rows are divided by their sum, because quantisation moves it.

    Args:
        outputs: Logits or probabilities, `(samples, classes)`.
        name: Whose they are, for messages.
        head: `"logits"`, `"softmax"` or `"sigmoid"`, where it is known.

    Raises:
        ValueError: If they have another rank, or fewer than 2 classes, are not finite, are in
            percent, or are no probabilities where `head` says so.
    """
    outputs = np.asarray(outputs, "float64")
    if outputs.ndim != 2 or outputs.shape[1] < 2 or not np.isfinite(outputs).all():
        rule = "give one row of finite numbers for each sample, one for each of 2 or more classes"
        expected, mend = "shape (samples, classes)", "Compare models with one output of classes"
        received = f"shape {outputs.shape}"
        if outputs.ndim == 2 and outputs.shape[1] > 1:
            received = f"{np.sum(~np.isfinite(outputs))} numbers that are NaN or Inf"
        raise refusal(f"{name} must {rule}", expected=expected, received=received, mend=mend)
    check_not_percent(outputs, f"What {name} gives")
    kind = _kind(outputs) if head is None else check_choice("head", head, KINDS)
    if kind != "logits" and _kind(outputs) == "logits":
        received, mend = f"head={head!r}, and numbers outside of them", "Pass head='logits'"
        rule = "give probabilities, numbers from 0 to 1, where head says so"
        raise refusal(f"{name} must {rule}", received=received, mend=mend)
    if kind == "sigmoid":
        return outputs
    if kind == "logits":
        outputs = np.exp(outputs - outputs.max(-1, keepdims=True))
    sums = outputs.sum(-1, keepdims=True)
    # A row whose probabilities were all rounded to 0 says nothing.
    return np.where(sums > 0, outputs / np.where(sums > 0, sums, 1), 1 / outputs.shape[1])


def _kind(outputs: np.ndarray) -> str:
    """Returns what outputs are, as far as numbers tell."""
    if (outputs < 0).any() or (outputs > 1 + _SLACK).any():
        return "logits"
    return "sigmoid" if len(outputs) and np.median(outputs.sum(-1)) > 1.05 else "softmax"


def top_k(probabilities: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Returns the share of samples whose class is among the `k` most probable.

    Args:
        probabilities: `(samples, classes)`.
        labels: Class ids, `(samples,)`.
        k: How many classes may be named.
    """
    best = np.argsort(-probabilities, axis=-1, kind="stable")[:, :k]
    return float(np.mean((best == labels[:, None]).any(-1)))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Returns the expected calibration error, `Σ |accuracy - confidence| · share` over bins.

    Args:
        probabilities: `(samples, classes)`.
        labels: Class ids, `(samples,)`.
        bins: Number of bins of equal width, `((i-1)/bins, i/bins]`, of the largest probability.

    Example:
    >>> calibration_error(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), bins=1)
    0.35

    Reference:
        - [Guo et al., On Calibration of Modern Neural Networks, 2017](
            https://arxiv.org/abs/1706.04599)
    """
    confidence = probabilities.max(-1)
    right = probabilities.argmax(-1) == labels
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(places, weights=right - confidence, minlength=bins)
    return round(float(abs(gaps).sum() / len(labels)), 12)
