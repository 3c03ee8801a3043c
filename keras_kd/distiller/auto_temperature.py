"""`temperature="auto"`: soften the teacher's answers until its mean confidence is a certain one."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._errors import refusal
from keras_kd.distiller.first_look import no_examples
from keras_kd.distiller.terms.term import Term
from keras_kd.losses import MultiLabelSoftTargets
from keras_kd.networks.structures import are_arrays
from keras_kd.teachers import batch
from keras_kd.teachers.confidence import confidence
from keras_kd.teachers.teacher import Teacher

__all__ = [
    "CONFIDENCE",
    "HIGHEST",
    "asked",
    "confidence_of",
    "first_batches",
    "found",
    "head_of",
    "is_near",
    "kept",
    "temperature_of",
]

CONFIDENCE = 0.8
HIGHEST = 100.0
_EXAMPLES = 512  # that a teacher is asked about online: its mean confidence to about 0.01
_MOST_NUMBERS = 2**22  # of an output's answers to them that are looked at
_AT_ONCE = 32
_NEAR = 0.02  # relative, to a temperature that answers were stored for


def temperature_of(logits: np.ndarray, target: float = CONFIDENCE, head: str = "softmax") -> float:
    """Returns the temperature, at least 1, at which answers have a mean confidence.

    Args:
        logits: Array `(..., classes)`.
        target: The mean confidence.
        head: `"softmax"` or `"sigmoid"`.
    """
    return _solved(partial(confidence, logits, head=head), target)


def _solved(confidence_at: Callable[[float], float], target: float = CONFIDENCE) -> float:
    low, high = 1.0, HIGHEST
    if confidence_at(low) <= target:
        return low
    for _ in range(30):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if confidence_at(middle) > target else (low, middle)
    return (low * high) ** 0.5


def first_batches(given: dict[str, Any]) -> Iterator[Any]:
    """Yields the inputs of the first batches that `fit` is given; of arrays, rows from all over.

    A generator, which cannot be read twice, is put back whole.
    """
    x = given["x"]
    if are_arrays(x):
        rows = len(keras.tree.flatten(x)[0])
        rows -= int(rows * (given.get("validation_split") or 0.0))
        picked = np.linspace(0, rows - 1, min(rows, _EXAMPLES)).astype(int)
        for start in range(0, len(picked), _AT_ONCE):
            part = picked[start : start + _AT_ONCE]
            yield keras.tree.map_structure(lambda a, part=part: np.asarray(a)[part], x)
        return
    if hasattr(x, "element_spec"):
        several = map(_of_one_replica, itertools.islice(x, _EXAMPLES))
    elif hasattr(x, "__getitem__") and hasattr(x, "num_batches"):
        count = _EXAMPLES if x.num_batches is None else x.num_batches
        several = (x[number] for number in range(count))
    elif hasattr(x, "__next__"):
        kept: list[Any] = []
        given["x"] = (each for each in itertools.chain(kept, x))
        several = _kept(x, kept)
    else:
        several = x
    for each in several:
        yield keras.utils.unpack_x_y_sample_weight(each)[0]


def _kept(batches: Iterator[Any], kept: list[Any]) -> Iterator[Any]:
    """Yields batches, and lays each aside before."""
    for each in batches:
        kept.append(each)
        yield each


def _of_one_replica(batch: Any) -> Any:
    """Returns the part of a distributed batch that the first replica here has."""
    import tensorflow as tf

    def first(leaf: Any) -> Any:
        return leaf.values[0] if isinstance(leaf, tf.distribute.DistributedValues) else leaf

    return keras.tree.map_structure(first, batch)


def confidence_of(teacher: Teacher, term: Term, answers: list[Any], temperature: float) -> float:
    """Returns how sure a teacher is, or several of them together, at a temperature."""
    last = ops.convert_to_numpy(term.temperature)
    term.temperature.assign(temperature)  # that at which several are averaged
    try:
        logits = [ops.convert_to_numpy(teacher.answer_to(term, each)) for each in answers]
    finally:
        term.temperature.assign(last)
    rows = [each.reshape(-1, each.shape[-1]) for each in logits]
    return confidence(np.concatenate(rows), temperature, head_of(term))


def asked(
    teacher: Teacher, names: list[str], taught: Iterable[str], batches: Iterator[Any]
) -> list[dict[str, Any]]:
    """Returns the answers to the first batches, by the names of the outputs that are taught.

    Of maps and sequences, and of very many classes, only some answers are kept.

    Args:
        teacher: Who is asked, unless the answers come with the batches.
        names: The student's output names.
        taught: Those of them that are taught.
        batches: Of `first_batches`.

    Raises:
        ValueError: If there are none.
    """
    answers, examples = [], 0
    for x in batches:
        carried = batch.carries_answers(x)
        if carried:
            answer = teacher.carried(batch.answers(x), names)
        else:
            answer = teacher(batch.teacher_input(_as_tensors(x)), names)
        size = ops.shape(keras.tree.flatten(answer)[0])[0]
        examples += size
        most = _MOST_NUMBERS * size // _EXAMPLES
        own = {name: answer[name] for name in taught}
        if not carried:
            own = keras.tree.map_structure(_by_position, own)
        answers.append({name: _spread_rows(each, most) for name, each in own.items()})
        if examples >= _EXAMPLES:
            break
    if not answers:
        raise no_examples("x")
    return answers


def _by_position(answer: Any) -> Any:
    return ops.reshape(answer, (-1, answer.shape[-1]))


def _spread_rows(answer: Any, numbers: int) -> Any:
    """Returns evenly spread rows of an answer, on the host, of at most so many numbers or one."""
    parts = keras.tree.flatten(answer)
    rows = ops.shape(parts[0])[0]
    most = max(1, numbers // max(math.prod(part.shape[1:]) for part in parts))
    picked = np.linspace(0, rows - 1, min(rows, most)).astype("int32")
    return keras.tree.map_structure(
        lambda part: ops.convert_to_numpy(ops.take(part, picked, axis=0)), answer
    )


def head_of(term: Term) -> str:
    """Returns whether a term softens a softmax or sigmoids."""
    return "sigmoid" if isinstance(term.loss, MultiLabelSoftTargets) else "softmax"


def _as_tensors(x: Any) -> Any:
    return keras.tree.map_structure(ops.convert_to_tensor, x)


def found(confidence_at: Callable[[float], float], name: str, *, strict: bool) -> float:
    """Returns the temperature, at least 1, at which a function of it gives the confidence.

    Args:
        confidence_at: How sure the teacher is at a temperature.
        name: The output's name.
        strict: Whether answers that are not finite, or have all classes alike, are an error. Where
            not, there is nothing to soften, and the temperature is 1.

    Raises:
        ValueError: If answers are such.

    Warns:
        UserWarning: If all classes are alike, where that is no error.
    """
    sharp, soft = confidence_at(1.0), confidence_at(1e6)
    alike = np.isclose(sharp, soft, rtol=1e-4, atol=0) and soft < 1 - 1e-4
    if np.isfinite(sharp) and not alike:
        return _solved(confidence_at)
    if not strict:
        if np.isfinite(sharp):
            warnings.warn(
                f"The teacher's answers at {name!r} are the same for every class, so there is "
                "nothing to learn from them: check the teacher and what it is shown.",
                stacklevel=2,
            )
        return 1.0
    raise refusal(
        f"The teacher's answers at {name!r} must tell classes apart for temperature='auto'",
        expected="finite logits that differ from class to class",
        received="almost the same number for every class" if np.isfinite(sharp) else "NaN or Inf",
        mend="Check the teacher and what it is shown, or pass temperature= a number",
    )


def is_near(one: float, other: float) -> bool:
    """Whether two temperatures are the same but for 2 %."""
    return abs(one / other - 1) <= _NEAR


def kept(value: float, temperatures: tuple[float, ...], name: str, *, strict: bool) -> float:
    """Returns the nearest of the temperatures that answers were stored for.

    Args:
        value: What was found.
        temperatures: These.
        name: The output's name.
        strict: Whether it must be within 2 %.

    Raises:
        ValueError: If it is not.
    """
    nearest = min(temperatures, key=lambda each: abs(np.log(each / value)))
    if not strict or is_near(nearest, value):
        return nearest
    raise refusal(
        f"The temperature that temperature='auto' finds at {name!r} must be one that the answers "
        "were stored for",
        expected=f"one of {list(temperatures)}",
        received=f"about {value:.3g}",  # of answers that are known at the nearest one alone
        mend=f"Write the labels with some temperatures around {value:.3g}, or compile with "
        f"{nearest:g}",
    )
