"""What data show before the first step: none at all, names as labels, ids of other classes."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd import _keras
from keras_kd._errors import refusal, shown
from keras_kd.distiller import faults, labels
from keras_kd.distiller.label_rules import Rule
from keras_kd.networks.heads import Head
from keras_kd.networks.structures import are_arrays, by_name

__all__ = ["check_labels", "check_some", "no_examples", "tell_of_unused_labels"]

_AT_ONCE = 2**22  # numbers
_MOST = 2**28  # numbers; labels of more are left to the steps


def check_some(x: Any, what: str = "x") -> None:
    """Raises where there are no examples, as far as that shows without reading any.

    Args:
        x: Arrays or a source of batches.
        what: What it is, for messages.

    Raises:
        ValueError: If there are none.
    """
    if are_arrays(x):
        none = any(len(each.shape) and each.shape[0] == 0 for each in keras.tree.flatten(x))
    else:
        none = hasattr(x, "unbatch") and int(x.cardinality()) == 0
    if none:
        raise no_examples(what)


def no_examples(what: str) -> Exception:
    """Returns the error of data without examples."""
    mend = "Look what the code that makes the data leaves out"
    what = f"{what} must hold examples"
    return refusal(what, expected="at least one", received="none", mend=mend)


def check_labels(y: Any, rules: dict[str, Rule], heads: dict[str, Head], what: str = "y") -> None:
    """Raises where arrays hold labels that a step would report.

    Args:
        y: The labels of all outputs, as `fit` was given them.
        rules: How they are read, by output name.
        heads: The student's heads by output name.
        what: What the labels are, for messages.

    Raises:
        TypeError: If they are names.
        ValueError: If one is outside of the classes.
    """
    for name, array in by_name(y, list(heads)).items():
        shape = getattr(array, "shape", ())
        if name not in rules or not heads[name].shape or not len(shape):
            continue
        rows = max(1, _AT_ONCE // (int(np.prod(shape[1:])) or 1))
        for start in range(0, shape[0] if np.prod(shape) <= _MOST else 0, rows):
            part = array[start : start + rows]
            part = np.asarray(ops.convert_to_numpy(part) if ops.is_tensor(part) else part)
            _check_part(part, start, heads[name].shape, rules[name], what)


def _check_part(part: np.ndarray, start: int, shape: Any, rule: Rule, what: str) -> None:
    first = part[:1].ravel().tolist()[0]
    if isinstance(first, str | bytes):
        raise labels.names_error(shown(first))
    if not _is_wrong(part, shape, rule):
        return
    low, high = 0, len(part)  # the first wrong row is one of these
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_wrong(part[low:middle], shape, rule) else (middle, high)
    raise faults.error_of(
        rule.fault, f"{shown(part[low].tolist())}, which is {what}[{start + low}]"
    )


def _is_wrong(part: np.ndarray, shape: Any, rule: Rule) -> bool:
    reading = labels.read(part, shape, rule)
    return reading is not None and bool(ops.convert_to_numpy(reading.wrong))


def tell_of_unused_labels(model: keras.Model, y: Any) -> None:
    """Prints a line where nothing compares the labels that arrays come with.

    It is not a warning, because data often have labels that nobody wants to use.
    """
    compared = model.loss is not None or _keras.has_metrics(model)
    needed = any("labels" in getattr(term.loss, "needs", ()) for term in model.terms)
    if y is not None and not compared and not needed:
        print(
            "y is not used: the Distiller is compiled without a loss and metrics, so the student "
            "learns from its teacher alone. Pass loss= to compile to learn from labels, too."
        )
