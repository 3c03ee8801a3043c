"""Where the teacher's signals come from."""

import copy
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras

from keras_kd import _keras, _torch
from keras_kd._errors import message
from keras_kd.networks.heads import Head, LogitsModel
from keras_kd.networks.models import check_model
from keras_kd.teachers import preprocessors


class Teacher:
    """What a Distiller has to know of whoever answers, and to ask for.

    A plain object, so that a Distiller that holds it neither tracks nor saves a model.

    Attributes:
        model: The model that is asked during training, if there is one.
        name: What it is called, `None` where there is nobody.
        variables: Its variables.
        preprocess: What is done to the student's input before.
        preprocess_samples: What is done to the raw data instead, in the input pipeline.
        heads: Dict of `keras_kd.heads.Head` by output name, in order.
        keyed: Whether the outputs are known by name, else by their order.
        inverted: Whether each output's logits come from its probabilities' logarithm, by name.
        signals: Shapes of the signals from the inside of the model, by name.
    """

    model: keras.Model | None = None
    name: str | None = None
    variables: Sequence[keras.Variable] = ()
    preprocess: Callable[[Any], Any] | None = None
    preprocess_samples: Callable | None = None
    heads: dict[str, Head]
    keyed: bool
    inverted: dict[str, bool]
    signals: Mapping[str, tuple[int | None, ...]] = MappingProxyType({})

    def with_taps(self, paths: Sequence[str]) -> "Teacher":
        """Returns a teacher that answers with the signals at these layer paths, too.

        They have the names of `keras_kd.taps.signal_name`.

        Raises:
            ValueError: If the teacher does not have them.
        """
        if not paths:
            return self
        raise ValueError(
            message(
                "The teacher must have a signal at the layers that the terms name",
                expected="a keras.Model",
                received=f"{type(self).__name__}, which answers with outputs only, for {paths}",
                mend="Pass the model itself as the teacher, or leave teacher= out of the Terms",
            )
        )

    def __call__(
        self, x: Any, names: list[str], values: Sequence[tuple[keras.Variable, Any]] = ()
    ) -> dict[str, Any]:
        """Returns the logits by the student's output names: by key for dicts, else in order.

        Args:
            x: The student's input.
            names: The student's output names; none where the logits are not asked for.
            values: Values of variables of the model to take instead of their own.
        """
        raise NotImplementedError

    def carried(
        self, answers: dict[str, Any], names: list[str], temperatures: dict[str, Any]
    ) -> dict[str, Any]:
        """Returns the logits by the student's output names, of answers that came with a batch.

        Args:
            answers: What came.
            names: The student's output names.
            temperatures: The temperature of the terms on each output.

        Raises:
            ValueError: If something else came, too.
        """
        if not set(answers) <= {*names, *self.signals}:
            raise ValueError(
                message(
                    "Answers that come with a batch must be the logits of the student's outputs",
                    expected=f"{names}",
                    received=f"{sorted(answers)}",
                    mend="Where they come from a SoftLabels, pass it as the teacher",
                )
            )
        return answers

    def check_terms(self, terms: Sequence[Any], names: list[str]) -> None:
        """Raises where terms on the student's outputs cannot learn from the answers."""

    def check_temperatures(self, terms: Sequence[Any], names: list[str]) -> None:
        """Raises where the answers do not serve the temperature of a term."""

    def out_of_range(self, terms: Sequence[Any], names: list[str]) -> Any:
        """Returns whether a term now has a temperature that the answers do not serve."""
        return False

    def check_data(self, x: Any) -> None:
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

    def taught_by(self, names: list[str]) -> dict[str, str]:
        """Returns the teacher's output names by the student's: the same keys, else in order."""
        return dict(zip(names, names if self.keyed and len(names) > 1 else self.heads))

    def kinds(self, names: list[str]) -> dict[str, str | None]:
        """Returns what the heads are by the student's output names, as far as they are there."""
        taught_by = self.taught_by(names).items()
        return {name: self.heads[own].kind for name, own in taught_by if own in self.heads}


class KerasModel(Teacher):
    """A `keras.Model` that is asked online, in inference mode and without gradient.

    Args:
        model: A built model. It is not changed, its `trainable` flag included.
        head: What its outputs are, as `teacher_head` of `keras_kd.Distiller`.
        preprocess: Function or layer from the student's input to the teacher's, where they differ
            in resolution, normalisation or structure. It maps an input to the same output at every
            step, so nothing in it is random or learns. Weights belong into a layer, not into a
            function that closes over them. Default: both are given the same, or, where `model` is a
            KerasHub task, what its own preprocessor makes of the raw data.

    Raises:
        TypeError: If `model` is not a `keras.Model`, or `preprocess` cannot be called.
        ValueError: If `model` is not built, or `preprocess` draws random numbers: a layer is looked
            at here, a function when it is first called.

    Example:
    >>> teacher = keras_kd.teachers.KerasModel(model, preprocess=keras.layers.Resizing(224, 224))
    >>> distiller = keras_kd.Distiller(student=student, teacher=teacher)
    """

    def __init__(
        self,
        model: keras.Model,
        head: str | dict | None = None,
        preprocess: Callable[[Any], Any] | None = None,
    ):
        self.model = check_model(model, "teacher")
        if preprocess is not None and not callable(preprocess):
            raise TypeError(
                message(
                    "preprocess must map the student's input to the teacher's",
                    expected="a function or a layer",
                    received=repr(preprocess),
                    mend="Pass e.g. keras.layers.Resizing(224, 224)",
                )
            )
        if isinstance(preprocess, keras.layers.Layer) and _keras.seed_generators(preprocess):
            raise _changes_by_the_step(preprocess)
        self.preprocess = preprocess
        self.name = self.model.name
        self._logits = LogitsModel(model, head, role="teacher")

    @property
    def preprocess_samples(self) -> Callable | None:
        """What the model, a KerasHub task, does to raw data; `preprocess` takes its place."""
        return preprocessors.of(self.model) if self.preprocess is None else None

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of the model, then those of a layer in front of it."""
        return [*self.model.variables, *getattr(self.preprocess, "variables", ())]

    @property
    def heads(self) -> dict[str, Head]:
        """The heads by output name, in order."""
        return self._logits.heads

    @property
    def keyed(self) -> bool:
        """Whether the model returns a dict, so that its outputs are known by name."""
        return self._logits.keyed

    @property
    def inverted(self) -> dict[str, bool]:
        """Whether each output's logits come from its probabilities' logarithm, by name."""
        return self._logits.inverted

    def described(self) -> str:
        """Returns the model's name and size."""
        size = f"{self.model.count_params():,} parameters"
        return f"{self.name}, {size}, neither trained nor saved"

    @property
    def signals(self) -> dict[str, tuple[int | None, ...]]:
        """The shapes of the signals from the inside of the model, by name."""
        return self._logits.signals

    def with_taps(self, paths: Sequence[str]) -> "KerasModel":
        """Returns a teacher that answers with the signals at these layer paths, too."""
        twin = copy.copy(self)
        twin._logits = self._logits.with_taps(paths)
        return twin

    def __call__(
        self,
        x: Any,
        names: list[str],
        values: Sequence[tuple[keras.Variable, Any]] = (),
    ) -> dict[str, Any]:
        """Returns the model's logits by the student's output names, and its signals."""
        # In the scope the model can change neither its variables nor its losses.
        stateless = keras.StatelessScope(state_mapping=list(values))
        with _torch.without_gradient(), stateless as scope:
            if self.preprocess is not None:
                before = dict(scope.state_mapping)
                x = self.preprocess(x)
                if _differ(before, scope.state_mapping):
                    raise _changes_by_the_step(self.preprocess)
            _, found = self._logits(x, training=False)
        signals = {name: found[name] for name in self.signals}
        return {name: found[own] for name, own in self.taught_by(names).items()} | signals


def _differ(before: dict[int, Any], after: dict[int, Any]) -> bool:
    """Whether variables have been assigned other values."""
    return any(value is not before.get(key) for key, value in after.items())


def _changes_by_the_step(preprocess: Any) -> ValueError:
    return ValueError(
        message(
            "preprocess must map an input to the same output at every step",
            expected="no random numbers and no state that changes",
            received=repr(preprocess),
            mend="Augment in the input pipeline, before teacher and student see the batch",
        )
    )


class NoTeacher(Teacher):
    """The place of the teacher in a Distiller that has just been loaded.

    Args:
        kinds: What the heads of the teacher before were, by the student's output names.
    """

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
        """Raises, for there is nobody to ask."""
        raise ValueError(
            message(
                "The teacher must be set before training",
                expected="a keras.Model",
                received="no teacher, for saved Distillers do not hold one",
                mend="Set distiller.teacher = teacher",
            )
        )
