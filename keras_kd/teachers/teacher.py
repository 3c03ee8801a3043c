"""Where the teacher's signals come from."""

import copy
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._errors import refusal, wrong
from keras_kd.networks.heads import Head
from keras_kd.networks.ports import Inputs, Port
from keras_kd.teachers.function_hash import function_hash

__all__ = ["NoTeacher", "Teacher"]

_HASH = 16  # hexadecimal digits


class Teacher:
    """What a Distiller has to know of whoever answers, and to ask for.

    A plain object, so that a Distiller that holds it neither tracks nor saves a model.

    Attributes:
        models: The Keras models that are asked during training, if there are some.
        name: What it is called, `None` where there is nobody.
        variables: Its variables.
        inputs: Its inputs, `None` where it does not show them.
        preprocess: What is done to the student's input before.
        preprocess_samples: What is done to the raw data instead, in the input pipeline.
        heads: Dict of `keras_kd.heads.Head` by output name, in order.
        outputs: The outputs as `keras_kd.networks.ports.Port`s, in the order of `heads`.
        keyed: Whether the model returns a dict.
        inverted: Whether each output's logits come from its probabilities' logarithm, by name.
        input_order: Names of the inputs that it was shown in a list once and for all, `None` where
            it was not.
        signals: Shapes of the signals from the inside of the model, by name.
        can_be_asked: Whether there is somebody who answers now.
        on_host: Whether NumPy's arrays are asked about, outside of what a backend compiles.
    """

    models: Sequence[keras.Model] = ()
    name: str | None = None
    variables: Sequence[keras.Variable] = ()
    inputs: Inputs | None = None
    preprocess: Callable[[Any], Any] | None = None
    preprocess_samples: Callable | None = None
    heads: dict[str, Head]
    outputs: list[Port]
    keyed: bool
    inverted: dict[str, bool]
    input_order: list[str] | None = None
    can_be_asked = True
    on_host = False
    signals: Mapping[str, tuple[int | None, ...]] = MappingProxyType({})
    _taught_by: dict[str, str] | None = None
    _shown: Callable[[Any], Any] | None = None

    def fingerprint(self) -> str:
        """Returns a hash that tells this teacher from others: equal ones give equal answers."""
        raise NotImplementedError

    def input_shapes(self) -> list[tuple[int | None, ...]] | None:
        """Returns the shapes of what it is shown, the batch first, in the order of its inputs.

        `None` where they are not known, or something is done to the student's input before.
        """
        ports = self.inputs.ports if self.inputs else []
        if not ports or self.preprocess or self.preprocess_samples:
            return None
        return [port.shape for port in ports]

    def input_names(self) -> list[str]:
        """Returns the names of its inputs in their order, none where `input_shapes` has none."""
        return [] if self.input_shapes() is None else [port.name for port in self.inputs.ports]

    @property
    def respondents(self) -> list[str]:
        """The names of those who answer."""
        return [str(self.name)]

    def each(self, change: Callable[["Teacher"], "Teacher"]) -> "Teacher":
        """Returns the teacher with a change made to each of those who answer."""
        return change(self)

    @property
    def preprocess_name(self) -> str | None:
        """What `preprocess` is called and a hash of what it does, `None` without one."""
        function = self.preprocess
        if function is None:
            return None
        name = getattr(function, "__name__", type(function).__name__)
        return f"{name} {function_hash(function)[:_HASH]}"

    def predict(self, x: Any) -> dict[str, np.ndarray]:
        """Returns the answers to one batch of arrays, outside of any training.

        Args:
            x: What the teacher is shown: the student's input, or with `preprocess_samples` what
                that makes of raw data.

        Returns:
            The logits `(batch, ..., classes)` by output name, and the signals by theirs.
        """
        raise NotImplementedError

    def stored(
        self, answers: dict[str, np.ndarray], temperatures: Sequence[float]
    ) -> dict[str, np.ndarray]:
        """Returns what is stored of what `predict` returned.

        Args:
            answers: What it returned.
            temperatures: Those at which students will train.
        """
        return answers

    @property
    def averages(self) -> bool:
        """Whether `stored` returns logits `(batch, temperatures, ..., classes)`."""
        return False

    def with_taps(self, paths: Sequence[str]) -> "Teacher":
        """Returns a teacher that answers with the signals at these layer paths, too.

        They have the names of `keras_kd.taps.signal_name`.

        Raises:
            ValueError: If the teacher does not have them.
        """
        if not paths:
            return self
        raise refusal(
            "The teacher must have a signal at the layers that the terms name",
            expected="a keras.Model",
            received=f"{type(self).__name__}, which answers with outputs only, for {paths}",
            mend="Pass the model itself as the teacher, or leave teacher= out of the Terms",
        )

    def __call__(
        self, x: Any, names: list[str], values: Sequence[tuple[keras.Variable, Any]] = ()
    ) -> dict[str, Any]:
        """Returns the logits by the student's output names, of those that are taught.

        Args:
            x: The student's input.
            names: The student's output names.
            values: Values of variables of the model to take instead of their own.
        """
        raise NotImplementedError

    def carried(self, answers: dict[str, Any], names: list[str]) -> dict[str, Any]:
        """Returns answers that came with a batch, by the student's output names.

        Args:
            answers: What came.
            names: The student's output names.

        Raises:
            ValueError: If something else came, too.
        """
        if not set(answers) <= {*names, *self.signals}:
            raise refusal(
                "Answers that come with a batch must be the logits of the student's outputs",
                expected=f"{names}",
                received=f"{sorted(answers)}",
                mend="Where they come from a SoftLabels, pass it as the teacher",
            )
        return answers

    def answer_to(self, term: Any, answer: Any) -> Any:
        """Returns what a term compares, of one of the `carried` answers.

        Args:
            term: A `keras_kd.Term`.
            answer: The answer, here a tensor `(batch, ...)`.
        """
        return answer

    def not_finite(self, answers: dict[str, Any], names: list[str]) -> Any:
        """Returns which of the `respondents` gave NaN or Inf as logits, a boolean vector.

        Args:
            answers: What `carried` returns.
            names: The student's output names.
        """
        logits = [keras.tree.flatten(answers[name]) for name in names if name in answers]
        dtype = keras.backend.standardize_dtype
        leaves = [leaf for leaf in keras.tree.flatten(logits) if "float" in dtype(leaf.dtype)]
        fine = [ops.all(ops.isfinite(leaf)) for leaf in leaves]
        return ~ops.expand_dims(ops.all(ops.stack(fine)), 0) if fine else None

    def check_terms(self, terms: Sequence[Any], names: list[str]) -> None:
        """Raises where terms on the student's outputs cannot learn from the answers."""

    def stored_confidences(self, names: list[str]) -> dict[str, tuple] | None:
        """Returns how sure the stored answers are at a temperature, `None` where none are stored.

        Returns:
            By the student's output names, a function `(temperature, head=)` of
            `keras_kd.teachers.confidence`, and the temperatures that it is exact at, or `None`.
        """
        return None

    def check_temperatures(self, terms: Sequence[Any], names: list[str]) -> None:
        """Raises where the answers do not serve the temperature of a term."""

    def out_of_range(self, terms: Sequence[Any], names: list[str]) -> Any:
        """Returns whether a term now has a temperature that the answers do not serve."""
        return False

    def check_data(self, x: Any, what: str = "Training data") -> None:
        """Raises where what `fit` is given cannot be learned from."""

    def explained(self, error: Exception) -> Exception | None:
        """Returns what an error that came with the data means, `None` where it says it itself."""
        return None

    def callbacks(self, steps_per_epoch: int | None) -> list[keras.callbacks.Callback]:
        """Returns what has to be told of the epochs of `fit`."""
        return []

    def described(self) -> str:
        """Returns who teaches, and what becomes of it, for `summary()`."""
        raise NotImplementedError

    def matched(
        self,
        outputs: dict[str, str],
        shown: Callable[[Any], Any] | None = None,
        classes: dict[str, int | None] | None = None,
    ) -> "Teacher":
        """Returns a teacher of a certain student.

        Args:
            outputs: The teacher's output names by the student's, of those that are taught.
            shown: Returns the teacher's input, out of a batch of the student's.
            classes: How many classes the student has, by the teacher's output names.
        """
        twin = copy.copy(self)
        twin._taught_by, twin._shown = outputs, shown
        return twin

    def taught_by(self, names: list[str]) -> dict[str, str]:
        """Returns the teacher's output names by the student's; without a student, its own."""
        if self._taught_by is None:
            return {name: name for name in names}
        return {name: own for name, own in self._taught_by.items() if name in names}

    def kinds(self, names: list[str]) -> dict[str, str | None]:
        """Returns what the heads are by the student's output names, as far as they are there."""
        taught_by = self.taught_by(names).items()
        return {name: self.heads[own].kind for name, own in taught_by if own in self.heads}


def check_can_be_asked(name: str, teacher: Teacher) -> Teacher:
    """Returns a teacher that answers any samples; one of stored answers is a `TypeError`."""
    if teacher.can_be_asked:
        return teacher
    rule, mend = "be a model that can be asked", "Pass the trained model"
    raise wrong(name, rule, teacher, mend=mend, error=TypeError)


class NoTeacher(Teacher):
    """The place of the teacher in a Distiller that has just been loaded.

    Args:
        kinds: What the heads of the teacher before were, by the student's output names.
    """

    can_be_asked = False

    def __init__(self, kinds: dict[str, str | None] | None = None):
        self._kinds = kinds or {}

    def kinds(self, names: list[str]) -> dict[str, str | None]:
        """Returns what the heads of the teacher before were."""
        return self._kinds

    def described(self) -> str:
        """Returns what is missing."""
        return "none; set distiller.teacher before training"

    def with_taps(self, paths: Sequence[str]) -> "NoTeacher":
        """Returns itself."""
        return self

    def __call__(self, x: Any, names: list[str], values: Any = ()) -> dict[str, Any]:
        """Raises, because there is nobody to ask."""
        raise refusal(
            "The teacher must be set before training",
            expected="a keras.Model",
            received="no teacher, because saved Distillers do not hold one",
            mend="Set distiller.teacher = teacher",
        )
