"""`temperature="auto"`: soften the teacher's answers until its mean confidence is a certain one."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._errors import check_number, message
from keras_kd.distiller.terms.term import Term
from keras_kd.losses import MultiLabelSoftTargets
from keras_kd.networks.structures import are_arrays
from keras_kd.teachers import batch
from keras_kd.teachers.confidence import confidence
from keras_kd.teachers.teacher import Teacher

__all__ = ["CONFIDENCE", "PlainTemperature", "checked", "first_batches", "temperature_of"]

CONFIDENCE = 0.8
_HIGHEST = 100.0
_EXAMPLES = 512  # that a teacher is asked about online: its mean confidence to about 0.01
_AT_ONCE = 32
_NEAR = 0.02  # relative, to a temperature that answers were stored for
Temperature = float | str | dict[str, float]


def temperature_of(logits: np.ndarray, target: float = CONFIDENCE, head: str = "softmax") -> float:
    """Returns the temperature, at least 1, at which answers have a mean confidence.

    Args:
        logits: Array `(..., classes)`.
        target: The mean confidence.
        head: `"softmax"` or `"sigmoid"`.
    """
    return _solved(partial(confidence, logits, head=head), target)


def _solved(confidence_at: Callable[[float], float], target: float = CONFIDENCE) -> float:
    low, high = 1.0, _HIGHEST
    if confidence_at(low) <= target:
        return low
    for _ in range(30):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if confidence_at(middle) > target else (low, middle)
    return (low * high) ** 0.5


def checked(given: Any) -> Temperature:
    """Returns what `compile(temperature=)` was given: a number, one per output, or `"auto"`.

    Raises:
        TypeError: If it is something else.
        ValueError: If a number is not above 0, or a string is not `"auto"`.
    """
    if isinstance(given, str):
        if given == "auto":
            return given
        raise ValueError(
            message(
                "temperature must be a number above 0 or 'auto'",
                expected="e.g. 4.0, or 'auto'",
                received=repr(given),
                mend="Pass temperature='auto' to have it found from the teacher's answers",
            )
        )
    if isinstance(given, dict):
        return {n: check_number(f"temperature[{n!r}]", t, "above 0") for n, t in given.items()}
    return check_number("temperature", given, "above 0")


class PlainTemperature:
    """The temperatures of the plain form, and what is still to be found of them.

    Attributes:
        automatic: Whether `"auto"` was asked for.
        pending: Whether it is still to be found.
    """

    def __init__(self) -> None:
        self.automatic = self.pending = False
        self._found: dict[str, float] = {}

    def take(self, given: Temperature, terms: Sequence[Term]) -> None:
        """Assigns numbers, or notes that they are to be found."""
        self.automatic = self.pending = given == "auto"
        if isinstance(given, dict) or (self.automatic and len(terms) > 1):
            for term in terms[1:]:
                term.keep_own_temperature()
        if isinstance(given, dict):
            _check_outputs(given, terms)
        if not self.automatic:
            for term in terms:
                term.temperature.assign(
                    given[term.output_name] if isinstance(given, dict) else given
                )

    def now(self, terms: Sequence[Term]) -> Temperature:
        """Returns what `take` takes to go on from here."""
        if self.pending:
            return "auto"
        values = [float(ops.convert_to_numpy(term.temperature)) for term in terms]
        if len({id(term.temperature) for term in terms}) == 1:
            return values[0]
        return {term.output_name: value for term, value in zip(terms, values)}

    def described(self, terms: Sequence[Term]) -> str:
        """Returns what `summary()` says of `"auto"`."""
        if self.pending:
            return "auto, found before the first step"
        values = ", ".join(f"{float(ops.convert_to_numpy(t.temperature)):.4g}" for t in terms)
        return (
            f"auto, {values}, where the teacher's mean confidence was {CONFIDENCE:g} (at least 1)"
        )

    def columns(self, terms: Sequence[Term], *, in_step: bool) -> dict[str, Any]:
        """Returns what the logs show of temperatures that were found, by column."""
        if not self.automatic:
            return {}
        names = [f"{term.output_name}_" if len(terms) > 1 else "" for term in terms]
        return {
            f"{name}temperature": ops.convert_to_tensor(
                # JAX hides the variables there. What the epoch logs is read after it.
                self._found.get(term.name, 0.0)
                if in_step and keras.backend.backend() == "jax"
                else term.temperature
            )
            for name, term in zip(names, terms)
        }

    def find_stored(self, teacher: Teacher, terms: Sequence[Term], names: list[str]) -> None:
        """Finds them where the answers are stored, exactly."""
        stored = teacher.stored_confidences(names) if self.pending else None
        if stored is None:
            return
        found = {}
        for term in terms:
            name = term.output_of(names)
            confidence_at, kept = stored[name]
            value = _solved(_useful(partial(confidence_at, head=_head(term)), name))
            found[term.name] = value if kept is None else _kept(value, kept, name)
        self._assign(terms, found)

    def find_online(
        self, teacher: Teacher, terms: Sequence[Term], names: list[str], batches: Iterator[Any]
    ) -> None:
        """Asks the teacher about the first batches and finds them."""
        answers, examples, found = [], 0, {}
        for x in batches:
            carried = batch.answers(x) if batch.carries_answers(x) else None
            answers.append(carried or teacher(batch.teacher_input(_as_tensors(x)), names))
            examples += len(keras.tree.flatten(answers[-1])[0])
            if examples >= _EXAMPLES:
                break
        for term in terms:
            name = term.output_of(names)
            said = [each[name] for each in answers]
            found[term.name] = _solved(_useful(partial(_asked, teacher, term, said), name))
        self._assign(terms, found)

    def _assign(self, terms: Sequence[Term], found: dict[str, float]) -> None:
        for term in terms:
            term.temperature.assign(found[term.name])
        self._found = found
        self.pending = False

    def check_found(self) -> None:
        """Raises where a step would begin before they are found."""
        if self.pending:
            raise ValueError(
                message(
                    "temperature='auto' must be found before the first step",
                    expected="fit or train_on_batch, which ask the teacher about the first batches",
                    received="train_step in a loop of your own",
                    mend="Pass temperature= a number to compile",
                )
            )


def first_batches(given: dict[str, Any]) -> Iterator[Any]:
    """Yields the inputs of the first batches that `fit` is given; of arrays, rows from all over.

    A generator, which cannot be read twice, is put back whole.
    """
    x = given["x"]
    if are_arrays(x):
        rows = len(keras.tree.flatten(x)[0])
        picked = np.linspace(0, rows - 1, min(rows, _EXAMPLES)).astype(int)
        for start in range(0, len(picked), _AT_ONCE):
            part = picked[start : start + _AT_ONCE]
            yield keras.tree.map_structure(lambda a, part=part: np.asarray(a)[part], x)
        return
    if hasattr(x, "element_spec"):
        several = x.take(_EXAMPLES)
    elif hasattr(x, "__getitem__") and hasattr(x, "num_batches"):
        several = (x[number] for number in range(x.num_batches or _EXAMPLES))
    elif hasattr(x, "__next__"):
        kept: list[Any] = []
        given["x"] = (each for each in itertools.chain(kept, x))
        for each in itertools.islice(x, 1):
            kept.append(each)
        several = kept
    else:
        several = x
    for each in several:
        yield keras.utils.unpack_x_y_sample_weight(each)[0]


def _asked(teacher: Teacher, term: Term, answers: list[Any], temperature: float) -> float:
    """Returns how sure a teacher is, or several of them together, at a temperature."""
    term.temperature.assign(temperature)  # that at which several are averaged
    logits = [ops.convert_to_numpy(teacher.answer_to(term, each)) for each in answers]
    rows = [each.reshape(-1, each.shape[-1]) for each in logits]
    return confidence(np.concatenate(rows), temperature, _head(term))


def _head(term: Term) -> str:
    return "sigmoid" if isinstance(term.loss, MultiLabelSoftTargets) else "softmax"


def _as_tensors(x: Any) -> Any:
    return keras.tree.map_structure(ops.convert_to_tensor, x)


def _useful(confidence_at: Callable[[float], float], name: str) -> Callable[[float], float]:
    """Returns the function, once it says something.

    Raises:
        ValueError: If the answers are not finite, or all classes are alike in each.
    """
    sharp, soft = confidence_at(1e-3), confidence_at(1e3)
    if not np.isfinite(sharp) or np.isclose(sharp, soft, atol=1e-6):
        kind = "NaN or Inf" if not np.isfinite(sharp) else "the same number for every class"
        raise ValueError(
            message(
                f"The teacher's answers at {name!r} must tell classes apart for temperature='auto'",
                expected="finite logits that differ from class to class",
                received=kind,
                mend="Check the teacher and what it is shown, or pass temperature= a number",
            )
        )
    return confidence_at


def _kept(found: float, kept: tuple[float, ...], name: str) -> float:
    nearest = min(kept, key=lambda value: abs(np.log(value / found)))
    if abs(nearest / found - 1) <= _NEAR:
        return nearest
    raise ValueError(
        message(
            f"The temperature that temperature='auto' finds at {name!r} must be one that the top "
            "classes were stored for",
            expected=f"one of {list(kept)}",
            received=f"{found:.3g}",
            mend=f"Write the labels with temperatures=[{found:.3g}], or compile with {nearest:g}",
        )
    )


def _check_outputs(given: dict[str, float], terms: Sequence[Term]) -> None:
    names = [term.output_name for term in terms]
    if set(given) != set(names):
        raise ValueError(
            message(
                "temperature must have a number for each output that is taught",
                expected=f"{names}",
                received=f"{sorted(given)}",
                mend="Pass one number for all, or temperature='auto'",
            )
        )
