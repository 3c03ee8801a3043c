"""The temperatures of the plain form: numbers, or `"auto"`, which is still to be found."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._errors import check_number, refusal, wrong
from keras_kd.distiller import auto_temperature as search
from keras_kd.distiller.terms.term import Term
from keras_kd.teachers.teacher import Teacher

__all__ = ["PlainTemperature", "Temperature", "checked"]

_UNKNOWN = float("nan")  # until it is found, unless somebody assigns a number before
Temperature = float | str | dict[str, float]


def checked(given: Any) -> Temperature | None:
    """Returns what `compile(temperature=)` was given: numbers, `"auto"`, or `None`.

    Raises:
        TypeError: If it is something else.
        ValueError: If a number is not above 0, or a string is not `"auto"`.
    """
    if given is None or isinstance(given, str):
        if given in (None, "auto"):
            return given
        raise wrong("temperature", "be a number above 0 or 'auto'", given, example="auto")
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
        self._by_default = False
        self._nearest = False
        self._found: dict[str, float] = {}

    def take(self, given: Temperature | None, terms: Sequence[Term]) -> None:
        """Assigns numbers, or notes that they are to be found.

        Args:
            given: What `checked` returns. `None` is `"auto"`, which then never fails: of answers
                that are stored for certain temperatures the nearest serves, and where there is
                nothing to soften, the watch says what is wrong.
            terms: The terms.
        """
        if isinstance(given, dict):
            _check_outputs(given, terms)
        self._by_default, self._nearest = given is None, False
        self.automatic = self.pending = given is None or given == "auto"
        if isinstance(given, dict) or (self.automatic and len(terms) > 1):
            for term in terms[1:]:
                term.keep_own_temperature()
        for term in terms:
            value = given.get(term.output_name) if isinstance(given, dict) else given
            term.temperature.assign(_UNKNOWN if self.automatic else value)

    def find_again(self, terms: Sequence[Term]) -> None:
        """Forgets what was found, as another teacher answers; what was assigned stays."""
        if not self.automatic:
            return
        self._nearest = False
        for term in terms:
            if _value(term) == np.float32(self._found.get(term.name, _UNKNOWN)):
                term.temperature.assign(_UNKNOWN)
        self.pending = bool(np.isnan([_value(term) for term in terms]).any())

    def now(self, terms: Sequence[Term]) -> Temperature | None:
        """Returns what `take` takes to go on from here."""
        values = [_value(term) for term in terms]
        if np.isnan(values).any():
            return None if self._by_default else "auto"
        if len({id(term.temperature) for term in terms}) == 1:
            return values[0]
        return {term.output_name: value for term, value in zip(terms, values)}

    def described(self, terms: Sequence[Term]) -> str:
        """Returns what `summary()` says of `"auto"`."""
        values = np.array([_value(term) for term in terms])
        if np.isnan(values).any():
            return "auto, found before the first step"
        shown = ", ".join(f"{value:.4g}" for value in values)
        found = np.float32([self._found.get(term.name, _UNKNOWN) for term in terms])
        if (values != found).any():
            return f"{shown}, assigned"
        if self._nearest:
            return f"{shown}, the nearest that answers are stored for"
        return f"auto, {shown}, {_meaning(values)}"

    def columns(self, terms: Sequence[Term], *, in_step: bool) -> dict[str, Any]:
        """Returns what the logs show of temperatures that `"auto"` found, by column.

        Nothing where it was not asked for by name.
        """
        if not self.automatic or self._by_default:
            return {}
        names = [f"{term.output_name}_" if len(terms) > 1 else "" for term in terms]
        return {
            f"{name}temperature": ops.convert_to_tensor(
                # JAX hides the variables there. What the epoch logs is read after it.
                self._found.get(term.name, 0.0)
                if in_step and keras.backend.backend() == "jax"
                else (term.temperature if in_step else _value(term))
            )
            for name, term in zip(names, terms)
        }

    def find_stored(self, teacher: Teacher, terms: Sequence[Term], names: list[str]) -> None:
        """Finds them where the answers are stored, exactly."""
        stored = teacher.stored_confidences(names) if self.pending else None
        if stored is None:
            return
        values, strict = {}, not self._by_default
        for term in terms:
            name = term.output_of(names)
            confidence_at, temperatures = stored[name]
            at = partial(confidence_at, head=search.head_of(term))
            value = search.found(at, name, strict=strict)
            if temperatures is not None:
                last, value = value, search.kept(value, temperatures, name, strict=strict)
                self._nearest |= not search.is_near(value, last)
            values[term.name] = value
        self._assign(terms, values)

    def find_online(
        self,
        teacher: Teacher,
        terms: Sequence[Term],
        names: list[str],
        batches: Iterator[Any],
        agreed: Callable[[Callable[[], list[float]]], list[float]] = lambda find: find(),
    ) -> None:
        """Asks the teacher about the first batches and finds them, unless they were assigned.

        Args:
            teacher: Who is asked.
            terms: The terms.
            names: The student's output names.
            batches: Of `first_batches`.
            agreed: Returns what several workers make of what each of them finds.
        """

        def find() -> list[float]:
            outputs, values = [term.output_of(names) for term in terms], []
            answers = search.asked(teacher, names, outputs, batches)
            for term, name in zip(terms, outputs):
                said = [each[name] for each in answers]
                at = partial(search.confidence_of, teacher, term, said)
                values.append(search.found(at, name, strict=not self._by_default))
            return values

        if np.isnan([_value(term) for term in terms]).any():
            self._assign(terms, dict(zip([term.name for term in terms], agreed(find))))
        self.pending = False

    def _assign(self, terms: Sequence[Term], found: dict[str, float]) -> None:
        for term in terms:
            if np.isnan(_value(term)):
                term.temperature.assign(found[term.name])
        self._found = found
        self.pending = False

    def check_found(self) -> None:
        """Raises where a step would begin before they are found."""
        if self.pending:
            raise refusal(
                "temperature='auto' must be found before the first step",
                expected="fit or train_on_batch, which ask the teacher about the first batches",
                received="train_step in a loop of your own",
                mend="Pass temperature= a number to compile",
            )


def _meaning(values: np.ndarray) -> str:
    """Returns what temperatures that were found do to the teacher's answers."""
    is_lowest, is_highest = values == 1.0, values > 0.99 * search.HIGHEST
    confident = f"a mean confidence of {search.CONFIDENCE:g}"
    said = {
        f"softens the teacher to {confident}": ~is_lowest & ~is_highest,
        f"leaves a teacher below {confident} as it is": is_lowest,
        f"is the highest that is tried for {confident}": is_highest,
    }
    return "which " + ", or ".join(text for text, holds in said.items() if holds.any())


def _value(term: Term) -> float:
    return float(ops.convert_to_numpy(term.temperature))


def _check_outputs(given: dict[str, float], terms: Sequence[Term]) -> None:
    names = [term.output_name for term in terms]
    if set(given) != set(names):
        raise refusal(
            "temperature must have a number for each output that is taught",
            expected="one number" if names == [None] else f"{names}",
            received=f"{sorted(given)}",
            mend="Pass one number for all, or temperature='auto'",
        )
