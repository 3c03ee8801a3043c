"""How labels lie beside an output: as class ids, or as rows with a value for each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_kd._errors import refusal, wrong
from keras_kd.losses.base import same_shape

__all__ = ["COLUMN", "IDS", "MISSING", "ROWS", "class_ids", "known", "layout"]

MISSING = -1  # in the place of a label that is not known
IDS, COLUMN, ROWS = "ids", "column", "rows"


def layout(labels: Sequence[int | None], output: Sequence[int | None]) -> str | None:
    """Returns how labels of a shape lie beside an output of another.

    Args:
        labels: The labels' shape.
        output: The output's, `(..., classes)`.

    Returns:
        `"ids"` for `(...)`, `"column"` for `(..., 1)` beside 2 or more classes, `"rows"` for
        `(..., classes)`, `None` for other shapes. Unknown sizes fit all.
    """
    labels, output = tuple(labels), tuple(output)
    if same_shape(labels, output) and (labels[-1] != 1 or output[-1] == 1):
        return ROWS
    if labels and labels[-1] == 1 and same_shape(labels[:-1], output[:-1]):
        return COLUMN
    return IDS if same_shape(labels, output[:-1]) else None


def known(y: Any) -> np.ndarray:
    """Returns which samples have a label, `(samples,)`: one that is not -1 as a whole."""
    return (np.asarray(y).reshape(len(y), -1) != MISSING).any(-1)


def class_ids(y: Any, samples: int, classes: int) -> np.ndarray:
    """Returns labels as class ids.

    Args:
        y: Class ids `(samples,)` or `(samples, 1)`, or one-hot rows `(samples, classes)`.
        samples: How many there are of `x`.
        classes: How many classes the models tell apart.

    Raises:
        ValueError: If they do not fit.
    """
    labels = np.asarray(y)
    lie = layout(labels.shape, (samples, classes)) if labels.dtype.kind in "biuf" else None
    if lie not in (IDS, COLUMN, ROWS) or not samples:
        rule = "hold one label for each sample of x, and x at least one sample"
        received, expected = f"{labels.dtype} of shape {labels.shape}", f"shape ({samples},)"
        mend = "Pass the x and y of one data set, with class ids for labels"
        raise refusal(f"y must {rule}", expected=expected, received=received, mend=mend)
    if lie == ROWS and not _is_one_hot(labels):
        rule, expected = "have one class in each row", "one-hot rows"
        mend = "Leave out samples without a label, or with several"
        raise wrong("y", rule, "rows with none or several", expected=expected, mend=mend)
    labels = labels.argmax(-1) if lie == ROWS else labels.reshape(samples)
    if labels.min() < 0 or labels.max() >= classes or (labels != np.floor(labels)).any():
        rule, expected = "hold ids of the models' classes", f"integers from 0 to {classes - 1}"
        received = f"{labels.min()} to {labels.max()}"
        mend = "Map the labels to 0, 1, ..., and leave out samples that have none"
        raise refusal(f"y must {rule}", expected=expected, received=received, mend=mend)
    return labels.astype(int)


def _is_one_hot(rows: np.ndarray) -> bool:
    """Whether each row has one largest value, above 0, and none below 0."""
    largest = rows.max(axis=-1, keepdims=True)
    one = (rows == largest).sum(-1) == 1
    return bool((rows >= 0).all() and (largest > 0).all() and one.all())
