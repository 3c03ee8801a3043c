"""Share of right answers of the Keras model and of its file on the same labelled samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd._errors import check_number, message, refusal
from keras_kd.export.student.outputs import Output
from keras_kd.networks.label_layouts import COLUMN, IDS, MISSING, ROWS, layout
from keras_kd.runtimes.batching import Arrays

__all__ = ["Accuracy", "Labels", "check_drop", "check_labels", "measure"]

Labels = dict[str, np.ndarray]


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers, of the output that loses most; `None` without labels.

    Args:
        accuracy_before: The Keras model's.
        accuracy_after: The file's.
        accuracy_output: The output's name.
    """

    accuracy_before: float | None = None
    accuracy_after: float | None = None
    accuracy_output: str | None = None


def check_labels(y: Any, outputs: Sequence[Output], samples: int) -> Labels | None:
    """Returns class ids or bits by output name, -1 for none, from the `y` of `verify=(x, y)`.

    Args:
        y: Class ids, one-hot rows, or for several labels a sample rows of 0 and 1; with several
            outputs a list, or a dict by name of some. `None` for none.
        outputs: The student's outputs.
        samples: Number of samples in `x`.

    Raises:
        ValueError: If they do not fit the outputs.
        TypeError: If they are not numeric.
    """
    if y is None:
        return None
    known, given = {output.name: output for output in outputs}, y
    if not isinstance(y, Mapping):
        listed = y if isinstance(y, list | tuple) and len(outputs) > 1 else [y]
        y = dict(zip(known, listed)) if len(listed) == len(known) else {}
    if not y or not set(y) <= set(known):
        raise _wrong("be given by output", f"a dict with keys among {list(known)}", _shapes(given))
    return {name: _ids(np.asarray(value), known[name], samples) for name, value in y.items()}


def measure(
    labels: Labels | None, outputs: Sequence[Output], before: Arrays, after: Arrays
) -> Accuracy:
    """Returns the accuracy of the output that loses most.

    Args:
        labels: From `check_labels`, or `None`.
        outputs: The student's outputs.
        before: The Keras model's answers by output name.
        after: The file's.
    """
    shares = [
        Accuracy(_share(before[x.name], ids, x), _share(after[x.name], ids, x), x.name)
        for x in outputs
        if labels and (ids := labels.get(x.name)) is not None
    ]
    losses = [both.accuracy_before - both.accuracy_after for both in shares]
    return shares[int(np.argmax(losses))] if shares else Accuracy()


def check_drop(max_accuracy_drop: Any, labels: Any) -> float | None:
    """Returns the drop allowed, if it is one and there are labels to measure it on.

    Raises:
        ValueError: If it is not from 0 to 1, or there are no labels.
        TypeError: If it is not a number.
    """
    if max_accuracy_drop is None:
        return None
    if labels is None:
        raise refusal(
            "max_accuracy_drop must have labels, as in verify=(x, y)",
            received="verify without y",
            mend="Pass verify=(x_test, y_test)",
        )
    return check_number("max_accuracy_drop", max_accuracy_drop, "from 0 to 1", example=0.003)


def _ids(y: np.ndarray, output: Output, samples: int) -> np.ndarray:
    if y.dtype.kind not in "biuf":
        raise TypeError(_text("be numbers", "class ids or one-hot rows", f"dtype {y.dtype}"))
    classes, shape = output.classes, (samples, *output.shape[1:])
    if output.is_whole:
        return _own_ids(y, output, samples)
    if classes == 1 and output.head is None:
        raise _unknown_head(output)
    lie = layout(y.shape, shape)
    if lie == ROWS and classes > 1:
        if output.head == "sigmoid" or _is_multi_hot(y):
            return _bits(y, output)
        y = y.argmax(-1)
    elif lie in (ROWS, COLUMN):
        y = y[..., 0] if y.ndim > 1 else y
    elif lie != IDS:
        shape = shape[:-1]
        raise _wrong("have one class id for each answer", f"shape {shape}", f"shape {y.shape}")
    highest = max(classes, 2) - 1
    if not np.array_equal(y, y.round()) or y.min() < MISSING or not 0 <= y.max() <= highest:
        received = f"values from {y.min()} to {y.max()}"
        raise _wrong("be class ids", f"whole numbers from 0 to {highest}, -1 for none", received)
    return y.astype("int64")


def _own_ids(y: np.ndarray, output: Output, samples: int) -> np.ndarray:
    """Returns labels of an output that gives class ids itself."""
    shape = (samples, *output.shape[1:])
    if y.ndim != len(shape) or any(a not in (b, None) for a, b in zip(shape, y.shape)):
        raise _wrong("have one class id for each answer", f"shape {shape}", f"shape {y.shape}")
    if not np.array_equal(y, y.round()) or y.min() < MISSING or y.max() < 0:
        received = f"values from {y.min()} to {y.max()}"
        raise _wrong("be class ids", "whole numbers from 0, -1 for none", received)
    return y.astype("int64")


def _is_multi_hot(y: np.ndarray) -> bool:
    """Whether rows have none or several ones, and no shares of a class."""
    return bool(np.isin(y, (MISSING, 0, 1)).all() and (y.sum(-1) != 1).any())


def _bits(y: np.ndarray, output: Output) -> np.ndarray:
    if output.head not in ("sigmoid", "logits"):
        expected = "a sigmoid or logits, e.g. student_head='logits' of a Distiller"
        received = f"rows of several labels for the head {output.head!r} of {output.name!r}"
        raise _wrong(
            "have one class for each answer, unless the head takes several", expected, received
        )
    if not np.isin(y, (MISSING, 0, 1)).all() or (y < 0).all():
        expected = f"{len(y)} rows of 0 and 1, -1 for none"
        raise _wrong(
            "say yes or no for each label", expected, f"{len(y)} rows, {y.min()} to {y.max()}"
        )
    return y.astype("int64")


def _unknown_head(output: Output) -> ValueError:
    return refusal(
        f"The head of the output {output.name!r} must be known to tell yes from no",
        expected="'sigmoid' or 'logits'",
        received="one unit whose head the model's graph does not show",
        mend="Export a Distiller with student_head='logits' or 'sigmoid', build the student "
        "from keras.Input so that its last layer shows, or pass verify=x without labels",
    )


def _share(answers: np.ndarray, ids: np.ndarray, output: Output) -> float:
    head = output.head
    if output.is_whole:
        classes = answers.astype("int64")
    elif ids.shape == answers.shape and answers.ndim > 1 and answers.shape[-1] > 1:
        classes = answers > (0.0 if head == "logits" else 0.5)
    elif answers.ndim > 1 and answers.shape[-1] > 1:
        classes = answers.argmax(-1)
    else:
        threshold = 0.0 if head == "logits" else 0.5
        classes = (answers > threshold).astype("int64").reshape(ids.shape)
    return float(np.mean((classes == ids)[ids >= 0]))


def _wrong(rule: str, expected: str, received: Any) -> ValueError:
    return ValueError(_text(rule, expected, received))


def _text(rule: str, expected: str, received: Any) -> str:
    mend = "Pass verify=(x, class_ids), or verify=x without labels"
    return message(f"y in verify must {rule}", expected=expected, received=received, mend=mend)


def _shapes(y: Any) -> Any:
    return keras.tree.map_structure(np.shape, y)
