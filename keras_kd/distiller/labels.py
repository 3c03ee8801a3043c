"""Labels that are class ids: which of them there are, which are missing (-1), which are wrong."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_kd import _keras
from keras_kd._errors import refusal
from keras_kd.distiller import weights
from keras_kd.distiller.label_rules import Rule
from keras_kd.networks.label_layouts import COLUMN, IDS, MISSING, ROWS, layout
from keras_kd.networks.structures import by_name, replaced

__all__ = ["Batch", "Reading", "names_error", "none_for", "read", "sort_out"]

_SLACK = 1e-6  # mixing rounds


@dataclass(frozen=True)
class Reading:
    """The labels of one output.

    Attributes:
        labels: The labels, with 0 in the place of missing and wrong ones.
        known: Boolean, one value per example or position: whether its label counts; `None` where
            that is for the loss to say.
        wrong: Boolean scalar: whether there is one outside of the classes.
    """

    labels: Any
    known: Any
    wrong: Any


def read(y: Any, shape: tuple[int | None, ...], rule: Rule) -> Reading | None:
    """Reads the labels of an output; `None` where `y` is nothing that it is about.

    Args:
        y: Labels: ids `(batch, ...)` or `(batch, ..., 1)`; of the output's shape where the rule is
            binary or takes shares.
        shape: The output's shape, `(batch, ..., classes)`.
        rule: The output's rule.

    Raises:
        TypeError: If they are names of classes.
        ValueError: If a sparse loss is given rows.
    """
    y = ops.convert_to_tensor(y)
    dtype = keras.backend.standardize_dtype(y.dtype)
    if dtype == "string":
        raise names_error("strings")
    # What True and False mean to a loss of the user's own is not known.
    if dtype == "bool" and rule.own:
        return None
    if dtype == "bool" or dtype.startswith("uint"):
        y, dtype = _signed(y, dtype), "int32"
    per_class, lie = len(y.shape) == len(shape), layout(y.shape, shape)
    if rule.shares and per_class and y.shape[-1] != 1:
        return _read_numbers(y, dtype, per_class)
    several = lie == ROWS and shape[-1] != 1
    if rule.floats and not rule.shares and several:
        raise refusal(
            "Labels of a sparse loss must be class ids, one for each example or position",
            expected=f"shape {tuple(shape[:-1])}",
            received=f"rows of shape {tuple(y.shape)}",
            mend="Pass a CategoricalCrossentropy, which takes one-hot and mixed labels",
        )
    if rule.own_rows and several:
        known = ~ops.all(y == MISSING, axis=-1)
        rows = ops.where(ops.expand_dims(known, axis=-1), y, ops.zeros_like(y))
        beyond = known & ops.any(ops.abs(ops.cast(y, "float32")) > 1 + _SLACK, axis=-1)
        return Reading(rows, known, ops.any(beyond & rule.guessed))
    if rule.binary:
        return _read_numbers(y, dtype, per_class) if per_class or shape[-1] == 1 else None
    if shape[-1] == 1 or lie not in (IDS, COLUMN):
        return None
    if "int" not in dtype and not rule.floats:
        between = (y == y) & (y != ops.floor(y))  # NaN is for the loss to see to
        return Reading(y, None, ops.any(between)) if rule.guessed else None
    ids = ops.squeeze(y, axis=-1) if lie == COLUMN else y
    return _read_ids(ids, lie == COLUMN, dtype, shape[-1], rule)


def names_error(received: str) -> Exception:
    """Returns the error of labels that are names of classes."""
    return refusal(
        "Labels must be numbers, such as the ids of classes",
        expected="0, 1, ...",
        received=received,
        mend="Number the classes: names, y = np.unique(y, return_inverse=True)",
        error=TypeError,
    )


def _read_ids(ids: Any, in_rows: bool, dtype: str, classes: int | None, rule: Rule) -> Reading:
    """Reads class ids, which stand in rows of one where that is how they came."""
    missing = ids == MISSING
    inside = ~missing if rule.own else (ids >= 0) & (ids < classes)
    if rule.ignored is not None:
        inside = inside | (ids == rule.ignored)
    if "int" not in dtype:
        inside = inside & (ids == ops.floor(ids))
    known = inside & ~missing
    # Losses look up the id of every example, also of one whose weight is 0, so it must exist.
    labels = ops.where(known, ids, ops.zeros_like(ids))
    labels = ops.expand_dims(labels, axis=-1) if in_rows else labels
    return Reading(labels, known, ops.any(~(inside | missing)))


def _signed(y: Any, dtype: str) -> Any:
    """Returns boolean and unsigned labels as int32, in which none of them becomes -1."""
    signed = ops.cast(y, "int32")
    if dtype not in ("uint32", "uint64"):
        return signed
    largest = np.iinfo("int32").max
    return ops.where(y > largest, largest, signed)


def _read_numbers(y: Any, dtype: str, in_rows: bool) -> Reading:
    """Reads numbers from 0 to 1, or rows of them, of which each misses as a whole or not at all."""
    slack = 0 if "int" in dtype else _SLACK
    missing, inside = y == MISSING, (y >= -slack) & (y <= 1 + slack)
    if in_rows:
        missing, inside = ops.all(missing, axis=-1), ops.all(inside, axis=-1)
    known = ops.expand_dims(inside, axis=-1) if in_rows else inside
    return Reading(ops.where(known, y, ops.zeros_like(y)), inside, ops.any(~(inside | missing)))


class Batch(NamedTuple):
    """Labels, outputs and weights of one batch, with what is missing out of the way.

    Attributes:
        y: The labels, in their structure.
        output: The student's output, whose Keras masks leave out what has no label.
        weights: The sample weights, as `keras_kd.distiller.weights.like_outputs` gives them.
        known: Which labels count, by name of the outputs that have class ids.
        wrong: Boolean scalars by kind of fault: whether there are wrong labels.
        ids: The class ids, -1 for none, by name of the outputs that sort into classes; for labels
            that are rows with a share for each class, the largest one's.
    """

    y: Any
    output: Any
    weights: Any
    known: dict[str, Any]
    wrong: dict[str, Any]
    ids: dict[str, Any]

    def examples(self, names: list[str]) -> Any:
        """Returns how many examples have labels, as a mean over these outputs.

        Of an example whose positions miss in part, the part that is there counts.
        """
        size = ops.shape(keras.tree.flatten(self.output)[0])[0]
        known = [self.known[name] for name in names if name in self.known]
        if not known:
            return size
        shares = sum(_mean(each) for each in known)
        share = (shares + len(names) - len(known)) / len(names)
        return ops.cast(size, "float32") * share

    def missing_in(self, names: Iterable[str]) -> Any:
        """Returns whether a label misses in one of these outputs, `None` where none is an id."""
        known = [ops.all(self.known[name]) for name in names if name in self.known]
        return ~ops.all(ops.stack(known)) if known else None

    def metric_weights(self, names: list[str]) -> tuple[Any, Any]:
        """Returns what `metrics` and `weighted_metrics` are weighted by, like the output.

        Args:
            names: The outputs' names.
        """
        given = by_name(self.weights, names)
        counted, weighted = dict.fromkeys(names), dict.fromkeys(names)
        for name in names:
            weight, known = given.get(name), self.known.get(name)
            if known is not None:
                counted[name] = known = ops.cast(known, "float32")
            if known is not None and weight is not None:
                weight = ops.cast(weights.at_rank(weight, len(known.shape)), "float32") * known
            weighted[name] = known if weight is None else weight
        return tuple(replaced(self.output, names, each) for each in (counted, weighted))


def _mean(known: Any) -> Any:
    """Returns the share that is known; 0 of the empty batch that a replica may get."""
    count = ops.cast(ops.size(known), "float32")
    return ops.sum(ops.cast(known, "float32")) / ops.maximum(count, 1.0)


def sort_out(
    y: Any, output: Any, sample_weight: Any, names: list[str], rules: dict[str, Rule]
) -> Batch:
    """Separates the labels of a batch that count from those that are missing or wrong.

    Args:
        y: The labels of all outputs, as Keras was given them.
        output: The student's output, in its structure.
        sample_weight: The weights, as Keras was given them.
        names: The outputs' names.
        rules: The rules by output name.

    Raises:
        ValueError: If weights name an output that is not there, or a sparse loss is given rows.
    """
    fitted = weights.like_outputs(output, names, sample_weight)
    given, outputs = by_name(y, names), by_name(output, names)
    readings, ids = {}, {}
    for name, rule in rules.items():
        if given.get(name) is not None:
            reading = read(given[name], outputs[name].shape, rule)
            if reading is not None:
                readings[name] = reading
            if not rule.binary and (reading is None or reading.known is not None):
                ids[name] = _ids(given[name], outputs[name].shape, reading)
    if not readings:
        return Batch(y, output, fitted, {}, {}, ids)
    labels = {name: reading.labels for name, reading in readings.items()}
    known = {n: reading.known for n, reading in readings.items() if reading.known is not None}
    masked = {name: _masked(outputs[name], mask) for name, mask in known.items()}
    return Batch(
        replaced(y, names, labels),
        replaced(output, names, masked),
        fitted,
        known,
        _wrong(readings, rules),
        ids,
    )


def _wrong(readings: dict[str, Reading], rules: dict[str, Rule]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for name, reading in readings.items():
        found.setdefault(rules[name].fault, []).append(reading.wrong)
    return {fault: ops.any(ops.stack(each)) for fault, each in found.items()}


def _ids(y: Any, shape: tuple[int | None, ...], reading: Reading | None) -> Any:
    """Returns the class ids that a reading found, or that rows of shares show; else `None`."""
    y = ops.convert_to_tensor(y if reading is None else reading.labels)
    if keras.backend.standardize_dtype(y.dtype) == "bool":
        y = ops.cast(y, "int32")
    rows = layout(y.shape, shape) == ROWS
    if reading is not None and not rows:
        ids = ops.cast(weights.at_rank(y, len(shape) - 1), "int32")
        return ops.where(reading.known, ids, MISSING)
    if not rows:
        return None
    largest = ops.cast(ops.argmax(y, axis=-1), "int32")
    return ops.where(ops.any(y > 0, axis=-1), largest, MISSING)


def _masked(output: Any, known: Any) -> Any:
    mask = _keras.keras_mask(output)
    if mask is not None:
        known = known & weights.at_rank(mask, len(known.shape))
    return _keras.masked(output, known)


def none_for(x: Any) -> np.ndarray:
    """Returns a missing label for each example of `x`."""
    return np.full(len(keras.tree.flatten(x)[0]), MISSING)
