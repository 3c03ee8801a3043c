"""What teachers say of held-out samples, and the weights at which they are right together."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._errors import refusal, wrong
from keras_kd._extras import require
from keras_kd.networks.label_layouts import class_ids
from keras_kd.teachers.teacher import Teacher

__all__ = ["answers", "best_weights", "log_likelihoods"]

_SMALLEST = 1e-4  # weight; a member below it moves no answer that matters


def answers(teacher: Teacher, x: Any, batch_size: int) -> list[np.ndarray]:
    """Returns the logits of each member for all samples, `(samples, classes)`.

    Args:
        teacher: An ensemble with one output.
        x: An array, or a list or dict of arrays.
        batch_size: Samples in a batch.

    Raises:
        TypeError: If `x` is no array.
        ValueError: If it has several outputs, or `x` no samples.
    """
    if len(teacher.heads) > 1:
        rule, mend = "have one output each", "Pass models of one of them"
        raise wrong("models", rule, [*teacher.heads], expected="one output", mend=mend)
    if hasattr(x, "element_spec"):
        raise wrong("x", "be arrays", x, mend="Pass np.concatenate(list(batches))", error=TypeError)
    x = keras.tree.map_structure(np.asarray, x)
    count = len(keras.tree.flatten(x)[0])
    if not count:
        mend = "Pass samples that no member was trained on"
        raise wrong("x", "hold at least one sample", 0, mend=mend)
    pieces = []
    for start in range(0, count, batch_size):
        batch = keras.tree.map_structure(lambda a, s=start: a[s : s + batch_size], x)
        (logits,) = teacher.predict(batch).values()
        pieces.append(logits)
    return [np.concatenate(of_member).astype("float64") for of_member in zip(*pieces)]


def log_likelihoods(
    logits: Sequence[np.ndarray], y: Any, names: Sequence[str], *, sigmoid: bool
) -> np.ndarray:
    """Returns the logarithm of the probability that each member gives each label.

    Args:
        logits: Those of each member, `(samples, classes)`.
        y: Class ids, or rows of 0 and 1.
        names: The members' names.
        sigmoid: Whether each class is a label of its own, yes or no.

    Returns:
        Array `(labels, members)`.

    Raises:
        ValueError: If a member's logits are not finite, or labels do not fit.
    """
    for name, each in zip(names, logits):
        if not np.isfinite(each).all():
            received, mend = f"NaN or Inf from {name!r}", "Leave it out, or look at its samples"
            what = "Answers to x must be finite"
            raise refusal(what, expected="numbers", received=received, mend=mend)
    if sigmoid:
        labels = np.asarray(y)
        if labels.shape != logits[0].shape or not np.isin(labels, (0, 1)).all():
            expected, mend = f"shape {logits[0].shape}", "Pass a column for each class"
            raise wrong("y", "hold rows of 0 and 1", np.shape(y), expected=expected, mend=mend)
        signs = np.where(labels == 1, 1.0, -1.0)
        return np.stack([-np.logaddexp(0.0, -signs * z).ravel() for z in logits], axis=-1)
    if logits[0].ndim != 2:
        rule, mend = "give (samples, classes)", "Flatten the positions of sequences into samples"
        raise wrong("models", rule, logits[0].shape, mend=mend)
    ids = class_ids(y, *logits[0].shape)[:, None]
    return np.concatenate(
        [
            np.take_along_axis(z, ids, -1) - np.logaddexp.reduce(z, -1, keepdims=True)
            for z in logits
        ],
        axis=-1,
    )


def best_weights(log_likelihoods: np.ndarray) -> list[float]:
    """Returns the weights `w` that maximise the mean of `log Σ_m w_m·p_m`, a concave function.

    Args:
        log_likelihoods: `log p_m`, `(labels, members)`.
    """
    optimize = require("scipy.optimize", extra="report")
    # A factor for each label leaves the maximum where it is, and nothing underflows.
    likely = np.exp(log_likelihoods - log_likelihoods.max(-1, keepdims=True))
    members = likely.shape[1]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        joint = np.maximum(likely @ weights, 1e-300)
        return -np.log(joint).mean(), -(likely / joint[:, None]).mean(0)

    found = optimize.minimize(
        loss,
        np.full(members, 1.0 / members),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    weights = np.where(found.x < _SMALLEST, 0.0, found.x)
    return [float(weight) for weight in weights / weights.sum()]
