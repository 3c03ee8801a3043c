"""How the teacher's answer to one view is stored: dense, or the top classes and their tail."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from keras_kd._errors import refusal
from keras_kd.teachers.averaging import check_read_once, reading_of, stored_reading

__all__ = [
    "CHECK",
    "DENSE_CLASSES",
    "Record",
    "check_temperature",
    "check_term",
    "dense",
    "record_type",
]

# Up to here a dense answer is smaller, or hardly larger, than one by top classes.
DENSE_CLASSES = 256
# The field of the byte by which other images are found out.
CHECK = "keras_kd.check"


@dataclass(frozen=True)
class Record:
    """How one signal of the teacher is stored.

    Attributes:
        shape: The signal's shape without the batch; the last axis holds the classes.
        dtype: `"float16"` or `"float32"`.
        centered: Whether the mean over the classes is taken off, which a softmax does not see.
        top_k: How many classes are kept, or `None` for all.
        temperatures: Temperatures at which the other classes' sum is kept, or those at which
            several teachers are averaged.
        averaged: Whether the first axis of `shape` is that of these temperatures: at each, `T`
            times the logarithm of the mean probabilities.
    """

    shape: tuple[int, ...]
    dtype: str = "float16"
    centered: bool = False
    top_k: int | None = None
    temperatures: tuple[float, ...] = field(default=())
    averaged: bool = False

    @property
    def answer(self) -> tuple[int, ...]:
        """The shape of what a term compares, without the batch."""
        return self.shape[1:] if self.averaged else self.shape

    @property
    def is_tempered(self) -> bool:
        """Whether it serves the temperatures alone that it was written for."""
        return self.averaged or self.top_k is not None

    @property
    def classes(self) -> int:
        """The size of the last axis."""
        return self.shape[-1]

    def fields(self, name: str) -> list[tuple]:
        """Returns the fields of a NumPy record that holds one answer."""
        float_type = {"float16": "<f2", "float32": "<f4"}[self.dtype]
        if self.top_k is None:
            return [(name, float_type, self.shape)]
        index_type = "<u2" if self.classes <= 2**16 else "<u4"
        top = (*self.shape[:-1], self.top_k)
        return [
            (f"{name}.indices", index_type, top),
            (f"{name}.logits", float_type, top),
            (f"{name}.tails", "<f4", (*self.shape[:-1], len(self.temperatures))),
        ]

    def encode(self, name: str, logits: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the values of `fields(name)` for a batch of answers.

        Args:
            name: The signal's name.
            logits: `(batch, *shape)`.

        Raises:
            ValueError: If float16 cannot hold a number, or not the differences between numbers.
        """
        logits = logits.astype("float32")
        if self.centered:
            logits = logits - logits.mean(axis=-1, keepdims=True)
        largest = np.abs(logits).max(initial=0.0)
        if not largest <= np.finfo(self.dtype).max:
            raise _too_large(name, largest)
        if self.dtype == "float16" and _too_coarse(logits):
            raise _hidden(name, largest)
        if self.top_k is None:
            return {name: logits}
        indices = np.argpartition(logits, -self.top_k, axis=-1)[..., -self.top_k :]
        top = np.take_along_axis(logits, indices, axis=-1)
        order = np.argsort(-top, axis=-1, kind="stable")
        rest = logits.copy()
        np.put_along_axis(rest, indices, -np.inf, axis=-1)
        tails = [_log_sum_exp(rest / temperature) for temperature in self.temperatures]
        return {
            f"{name}.indices": np.take_along_axis(indices, order, axis=-1),
            f"{name}.logits": np.take_along_axis(top, order, axis=-1),
            f"{name}.tails": np.stack(tails, axis=-1),
        }

    def to_json(self) -> dict[str, Any]:
        """Returns the Record as a dict of JSON's types."""
        values = asdict(self)
        if not self.averaged:  # as versions before knew it
            del values["averaged"]
        return values | {"shape": list(self.shape), "temperatures": list(self.temperatures)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Record":
        """Rebuilds a Record from `to_json()`."""
        lists = {name: tuple(values[name]) for name in ("shape", "temperatures")}
        return cls(**{**values, **lists})


def dense(answers: dict[str, Any], name: str, record: Record, temperature: Any) -> Any:
    """Returns a signal's dense logits, in operations of the backend.

    Of top classes, the others' probability at the temperature is spread evenly over them, so the
    tempered softmax is exact on the kept classes and in the sum of the others.

    Args:
        answers: Values by field, batched, as they ride in a batch.
        name: The signal's name.
        record: How it is stored.
        temperature: Scalar, one of the Record's; unused for dense Records.
    """
    from keras import ops

    if not record.is_tempered:
        return answers[name]
    known = ops.convert_to_tensor(np.asarray(record.temperatures, "float32"))
    nearest = ops.argmin(ops.abs(known - ops.cast(temperature, "float32")))
    if record.averaged:
        answers = {field: ops.take(values, nearest, axis=1) for field, values in answers.items()}
    if record.top_k is None:
        return answers[name]
    tails = ops.take(ops.cast(answers[f"{name}.tails"], "float32"), nearest, axis=-1)
    rest = record.classes - record.top_k
    tail = ops.take(known, nearest) * (tails - float(np.log(rest)))
    logits = ops.cast(answers[f"{name}.logits"], "float32")
    spread = ops.repeat(ops.reshape(tail, (-1,)), record.classes)
    starts = record.classes * ops.arange(ops.size(tail), dtype="int32")
    indices = ops.cast(answers[f"{name}.indices"], "int32")
    places = ops.reshape(indices, (-1, record.top_k)) + ops.expand_dims(starts, axis=-1)
    full = ops.scatter_update(spread, ops.reshape(places, (-1, 1)), ops.reshape(logits, (-1,)))
    return ops.reshape(full, (-1, *record.answer))


def check_term(term: Any, name: str, record: Record, head: str | None) -> None:
    """Raises where the loss of a term cannot learn from what is stored of an output.

    Args:
        term: A `keras_kd.Term`.
        name: The output's name.
        record: How it is stored.
        head: What the head is that gave it.
    """
    if not record.is_tempered:
        return
    if record.averaged:
        check_read_once(term)
        _check_reading(term, name, stored_reading(head))
    reading, standardizes = reading_of(term)[0], getattr(term.loss, "standardize", False)
    kept = f"the top {record.top_k} of {record.classes} classes at {name!r}"
    mend, fits = f"top_k={record.classes}", reading == "softmax" and term.temperature is not None
    if record.top_k is None:
        kept, fits = f"the mean of several teachers' probabilities at {name!r}", reading != "logits"
        mend = "the teacher that is to be followed alone"
    if not fits or (standardizes and record.top_k is not None):
        raise refusal(
            f"The loss of term {term.name!r} must be a tempered softmax of the logits, because "
            f"the labels keep {kept}",
            expected="e.g. SoftTargets(temperature=4.0), without standardize",
            received=type(term.loss).__name__ + "(standardize=True)" * standardizes,
            mend=f"Write the labels with {mend}",
        )


def _check_reading(term: Any, name: str, stored: str) -> None:
    """Raises where a mean of probabilities is read as one of another kind of them."""
    reading = reading_of(term)[0]
    if reading in ("logits", stored):
        return
    mend = "keras_kd.teachers.Ensemble([...], multi_label=True)"
    if stored == "sigmoid":
        mend = "teachers whose heads are linear or a softmax, and without multi_label"
    raise refusal(
        f"The loss of term {term.name!r} must read the mean of several teachers as it is stored",
        expected=f"a {stored} at {name!r}",
        received=f"{type(term.loss).__name__}, which reads a {reading}",
        mend=f"Write the labels with {mend}, or pass a loss of the stored kind",
    )


def check_temperature(temperature: float, name: str, record: Record) -> None:
    """Raises where answers were not stored for a temperature."""
    if record.is_tempered and not np.isclose(temperature, record.temperatures).any():
        every = f", or with top_k={record.classes} for any temperature"
        raise refusal(
            f"The temperature at {name!r} must be one that the labels were written for",
            expected=f"one of {list(record.temperatures)}",
            received=f"{temperature:g}",
            mend=f"Write the labels with temperatures=[{temperature:g}]"
            + ("" if record.averaged else every),
        )


def record_type(records: dict[str, Record]) -> np.dtype:
    """Returns the NumPy type of all that is stored of one view, its check byte first."""
    # Sorted, as the manifest has them.
    fields = [field for name in sorted(records) for field in records[name].fields(name)]
    return np.dtype([(CHECK, "u1"), *fields])


def _log_sum_exp(x: np.ndarray) -> np.ndarray:
    top = x.max(axis=-1, keepdims=True)
    return np.log(np.exp(x - top).sum(axis=-1)) + top[..., 0]


def _too_large(name: str, largest: float) -> ValueError:
    return refusal(
        f"The teacher's answer {name!r} must fit the dtype in which it is stored",
        expected="numbers below 65504 for float16",
        received=f"{largest:g}",
        mend="Pass dtype='float32'",
    )


def _too_coarse(logits: np.ndarray) -> bool:
    """Whether a common offset of the logits leaves float16 no digits for their differences."""
    spacing = np.spacing(np.abs(logits).max(axis=-1).astype("float16")).astype("float32")
    spread = logits.max(axis=-1) - logits.min(axis=-1)
    # Of most answers: single ones may well be undecided.
    return bool(np.median(spacing) > 0.01 * np.median(spread) > 0)


def _hidden(name: str, largest: float) -> ValueError:
    return refusal(
        f"The differences between the classes at {name!r} must not drown in a common offset",
        expected="logits around 0, for float16",
        received=f"numbers up to {largest:g} that differ by little",
        mend="Pass dtype='float32'",
    )
