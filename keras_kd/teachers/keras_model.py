"""A Keras model, or a layer, that is asked during training."""

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_kd import _keras, _torch
from keras_kd._errors import check_callable, reason, refusal, wrong
from keras_kd.networks.heads import Head, LogitsModel
from keras_kd.networks.models import teacher_model
from keras_kd.networks.ports import Inputs, Port
from keras_kd.teachers import preprocessors
from keras_kd.teachers.class_order import ClassOrder
from keras_kd.teachers.teacher import Teacher

__all__ = ["KerasModel"]

_OTHER_ROWS = "preprocess must keep the batch size"


class KerasModel(Teacher):
    """A `keras.Model` that is asked online, in inference mode and without gradient.

    Args:
        model: A built model, or a built Keras layer that gives one tensor, such as `TFSMLayer`. It
            is not changed, its `trainable` flag included.
        head: What its outputs are, as `teacher_head` of `keras_kd.Distiller`.
        preprocess: Function or layer from the student's input to the teacher's, where they differ
            in resolution, normalisation or structure. It maps an input to the same output at every
            step, so nothing in it is random or learns. Weights belong into a layer, not into a
            function that closes over them. Default: both are given the same, each input by its
            name, or, where `model` is a KerasHub task, what its own preprocessor makes of the raw
            data.
        classes: The student's class id of each of the model's classes, in the model's order; `None`
            in it for one that the student does not have. Only of models with one output.

    Raises:
        TypeError: If `model` is neither a `keras.Model` nor a layer, or `preprocess` cannot be
            called.
        ValueError: If `model` is not built or has a state that goes on from batch to batch,
            `classes` has unknown, missing or repeated ones, or `preprocess` draws random numbers: a
            layer is looked at here, a function when it is first called. Then also if `preprocess`
            returns other than one row for each sample.

    Example:
    >>> teacher = keras_kd.teachers.KerasModel(model, preprocess=keras.layers.Resizing(224, 224))
    >>> distiller = keras_kd.Distiller(student=student, teacher=teacher)
    """

    def __init__(
        self,
        model: keras.Model | keras.layers.Layer,
        head: str | dict | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        classes: Sequence[int | None] | None = None,
    ):
        self.model = model = teacher_model(model)
        if preprocess is not None:
            rule, mend = "map the student's input to the teacher's", "Pass a function or a layer"
            check_callable(
                "preprocess", preprocess, rule, expected="a function or a layer", mend=mend
            )
        if isinstance(preprocess, keras.layers.Layer) and _keras.seed_generators(preprocess):
            raise _changes_by_the_step(preprocess)
        self.preprocess = preprocess
        self.name = self.model.name
        self._logits = LogitsModel(model, head, role="teacher")
        self.inputs = Inputs(model)
        self._order = _order(classes, self._logits.heads)
        self._outside: keras.Model | None = None

    @property
    def models(self) -> list[keras.Model]:
        """The model."""
        return [self.model]

    def fingerprint(self) -> str:
        """Returns a hash of the model's weights, and of the order of its classes if given."""
        digest = hashlib.sha256()
        for variable in self.model.weights:
            values = np.asarray(keras.ops.convert_to_numpy(variable.value))
            digest.update(f"{values.dtype} {values.shape}".encode())
            digest.update(values.tobytes())
        if self._order.of_student is not None:
            digest.update(repr(self._order.of_student).encode())
        return digest.hexdigest()

    @property
    def preprocess_name(self) -> str | None:
        """What `preprocess` is called and does, or what a task's own preprocessor is called."""
        own = getattr(self.model, "preprocessor", None)
        if self.preprocess is not None or own is None:
            return super().preprocess_name
        return type(own).__name__

    def predict(self, x: Any) -> dict[str, np.ndarray]:
        """Returns the logits and signals of one batch, compiled by Keras."""
        if self._outside is None:
            self._outside = _Outside(self)
        return {n: np.asarray(v) for n, v in self._outside.predict_on_batch(x).items()}

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
        """The heads by output name, in order; their classes are the student's."""
        heads = self._logits.heads
        return {name: replace(head, shape=self._shape(head.shape)) for name, head in heads.items()}

    @property
    def outputs(self) -> list[Port]:
        """The outputs, in the order of `heads`."""
        return [replace(port, shape=self._shape(port.shape)) for port in self._logits.outputs]

    def _shape(self, shape: tuple[int | None, ...] | None) -> tuple[int | None, ...] | None:
        if self._order.of_student is None or shape is None:
            return shape
        return (*shape[:-1], len(self._order.of_student))

    @property
    def keyed(self) -> bool:
        """Whether the model returns a dict."""
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

    def explained(self, error: Exception) -> Exception | None:
        """Returns what an error means that a preprocess with another number of rows has raised."""
        if _OTHER_ROWS not in str(error):
            return None
        told = reason(error)
        return ValueError(told) if told.startswith(_OTHER_ROWS) else _other_rows("another number")

    def with_taps(self, paths: Sequence[str]) -> "KerasModel":
        """Returns a teacher that answers with the signals at these layer paths, too."""
        twin = copy.copy(self)
        twin._logits, twin._outside = self._logits.with_taps(paths), None
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
                x = _of_as_many_rows(self.preprocess(x), x)
                if _differ(before, scope.state_mapping):
                    raise _changes_by_the_step(self.preprocess)
            x = (self._shown or self.inputs.fed)(x)
            _, found = self._logits(x, training=False)
        signals = {name: found[name] for name in self.signals}
        taught_by = self.taught_by(names).items()
        return {name: self._order(found[own]) for name, own in taught_by} | signals


def _order(classes: Sequence[int | None] | None, heads: dict[str, Head]) -> ClassOrder:
    """Returns the order of the classes of a model's only output."""
    order = ClassOrder(classes)
    if order.of_student is not None and len(heads) > 1:
        rule, mend = "be left out where a model has several outputs", "Pass a model of one of them"
        raise wrong("classes", rule, classes, expected="None", mend=mend)
    order.count(next(iter(heads.values())).classes)
    return order


class _Outside(keras.Model):
    """A teacher as a model that returns its answers, for Keras to compile."""

    def __init__(self, teacher: Teacher):
        super().__init__(name="asked", autocast=False)
        self._teacher, self._names = teacher, list(teacher.heads)
        self.built = True

    def call(self, x: Any) -> dict[str, Any]:
        return self._teacher(x, self._names)


def _differ(before: dict[int, Any], after: dict[int, Any]) -> bool:
    """Whether variables have been assigned other values."""
    return any(value is not before.get(key) for key, value in after.items())


def _of_as_many_rows(shown: Any, given: Any) -> Any:
    """Returns what `preprocess` made of a batch; raises where it has more or fewer rows."""
    count = keras.tree.flatten(given)[0].shape[0]
    found = [leaf.shape[0] if len(leaf.shape) else 1 for leaf in keras.tree.flatten(shown)]
    if None not in (count, *found):
        if any(rows != count for rows in found):
            raise _other_rows(f"{count} samples in, {found[0]} out")
        return shown
    import tensorflow as tf  # whose graphs alone leave sizes open

    first = tf.shape(keras.tree.flatten(given)[0])[0]
    checks = [
        tf.debugging.assert_equal(tf.shape(leaf)[0], first, _OTHER_ROWS)
        for leaf in keras.tree.flatten(shown)
    ]
    with tf.control_dependencies([each for each in checks if each is not None]):
        return keras.tree.map_structure(tf.identity, shown)


def _other_rows(received: str) -> ValueError:
    mend = "Let it change the samples one by one"
    return refusal(_OTHER_ROWS, expected="as many rows as samples", received=received, mend=mend)


def _changes_by_the_step(preprocess: Any) -> Exception:
    rule = "map an input to the same output at every step"
    expected = "no random numbers and no state that changes"
    mend = "Augment in the input pipeline, before teacher and student see the batch"
    return wrong("preprocess", rule, preprocess, expected=expected, mend=mend)
