"""fit, evaluate and their kin: Keras' own, and around them what a compiled step cannot do."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.distiller import first_look, forms, labels, multi_worker, preprocessing
from keras_kd.distiller.steps import Steps
from keras_kd.networks.structures import are_arrays
from keras_kd.teachers import preprocessors
from keras_kd.teachers.teacher import Teacher

__all__ = ["FitFacts", "Fitting"]

_KERAS_BATCH_SIZE = 32  # of `fit`, where arrays come without a size
_DATA = ("x", "y", "sample_weight")


@dataclass(frozen=True)
class FitFacts:
    """What callbacks have to know of the `fit` under way, and Keras does not tell them.

    Attributes:
        validates: Whether there are validation data.
        callbacks: The callbacks that were given.
        foreign: Whether some of them neither Keras nor keras_kd made, which may write anything into
            the logs.
    """

    validates: bool
    callbacks: tuple[keras.callbacks.Callback, ...]
    foreign: bool

    @classmethod
    def of(cls, given: dict[str, Any]) -> "FitFacts":
        """Returns the facts of `fit` with these arguments."""
        callbacks = getattr(given["callbacks"], "callbacks", given["callbacks"])
        return cls(
            validates=given["validation_data"] is not None or bool(given["validation_split"]),
            callbacks=tuple(callbacks),
            foreign=any(
                type(each).__module__.split(".")[0] not in ("keras", "keras_kd")
                or isinstance(each, keras.callbacks.LambdaCallback)
                for each in callbacks
            ),
        )


class Fitting(Steps):
    """A model that is given whole data, and reports what went wrong inside of its steps.

    Attributes:
        fit_facts: The `FitFacts` of the `fit` under way, or `None`.
    """

    fit_facts: FitFacts | None = None

    @property
    def asked_teacher(self) -> Teacher:
        """Who answers, matched to the student."""
        return self._objective.teacher

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> keras.callbacks.History:
        """Trains the student. The arguments are those of `keras.Model.fit`.

        Raises:
            TypeError: If labels are names of classes.
            ValueError: If there are no examples; if a label is outside of the student's classes,
                or the teacher gave NaN or Inf: of labels in arrays before the first step, else
                after it or at the end of the epoch, naming the first such batch.
        """
        given = _without_self(locals())
        with self._telling():
            try:
                multi_worker.check_cluster(self)
                with multi_worker.together(self):
                    given = self._prepared(given)
                multi_worker.check_together(self, self._objective.teacher, given)
                return super().fit(**self._find_temperature(given))
            finally:
                self._watch.epoch = self.fit_facts = None
                self.observers = ()

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Evaluates the student. The arguments are those of `keras.Model.evaluate`.

        No teacher runs, except with `compile(evaluate_terms=True)`, by which the terms are logged,
        too, and for callbacks that ask it (`keras_kd.callbacks.TeacherAgreement`).

        Raises:
            ValueError: If there is nothing to compute, or a label is outside of the classes.
        """
        given = _without_self(locals())
        given.update(given.pop("kwargs"))
        self._keep_weights(given)
        asks = self._asks_in_evaluation(callbacks)
        how = self._preprocessing(teaching=asks)
        # Keras' name for the data that `fit` has preprocessed already.
        if how and not given.get("_use_cached_eval_dataset"):
            given = preprocessing.data_arguments(how, given)
        try:
            with self._evaluating(asks):
                return super().evaluate(**self._find_temperature(given, asks))
        finally:
            if self.fit_facts is None:  # not the validation of `fit`
                self.observers = ()

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Returns the student's outputs. The arguments are those of `keras.Model.predict`."""
        given, how = _without_self(locals()), self._preprocessing(teaching=False)
        with self._telling():
            return super().predict(**preprocessing.data_arguments(how, given) if how else given)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Trains on one batch. The arguments are those of `keras.Model.train_on_batch`.

        Raises:
            ValueError: As in `fit`.
        """
        given = self._preprocessed(_without_self(locals()), teaching=True)
        self._note_weights(None, None)  # as a batch they come as they are given
        with self._telling():
            result = super().train_on_batch(**self._find_temperature(given))
        self._watch.finish()
        return result

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Evaluates on one batch. The arguments are those of `keras.Model.test_on_batch`.

        Raises:
            ValueError: As in `evaluate`.
        """
        given = self._preprocessed(_without_self(locals()), teaching=self.evaluates_terms)
        with self._evaluating(self.evaluates_terms):
            return super().test_on_batch(**self._find_temperature(given, self.evaluates_terms))

    def predict_on_batch(self, x: Any) -> Any:
        """Returns the student's outputs for one batch."""
        with self._telling():
            return super().predict_on_batch(**self._preprocessed({"x": x}, teaching=False))

    def _asks_in_evaluation(self, callbacks: Any) -> bool:
        """Whether the teacher is asked then: for the logs, or for one of the callbacks."""
        listed = keras.tree.flatten(getattr(callbacks, "callbacks", callbacks))
        return self.evaluates_terms or any(getattr(c, "asks_teacher", False) for c in listed)

    def _prepared(self, given: dict[str, Any]) -> dict[str, Any]:
        """Returns the arguments of `fit` as Keras takes them, once they are checked."""
        self._keep_weights(given)
        validation = given["validation_data"]
        first_look.check_some(given["x"])
        if isinstance(validation, (tuple, list)) and len(validation) == 3:
            given["validation_data"] = self._keep_weights(dict(zip(_DATA, validation)))
        forms.check_pairs(self._terms, _first_batch(given["x"], given["batch_size"]))
        teacher = self._objective.teacher
        teacher.check_data(given["x"])
        if self._asks_in_evaluation(given["callbacks"]) and validation is not None:
            is_pair = isinstance(validation, (tuple, list))
            teacher.check_data(validation[0] if is_pair else validation, "Validation data")
        self._note_weights(given["y"], given["sample_weight"])
        if hasattr(given["x"], "element_spec"):
            given["shuffle"] = False  # Keras warns of its own default
        added = teacher.callbacks(given["steps_per_epoch"])
        watched = self._watch.callbacks(given["callbacks"], added)
        given["callbacks"] = multi_worker.callbacks(self, watched)
        _keras.set_untracked(self, "fit_facts", FitFacts.of(given))
        how = self._preprocessing(teaching=True)
        if not how:
            if given["verbose"]:
                first_look.tell_of_unused_labels(self, given["y"])
            self._look_at_labels(given["y"], given["validation_data"])
            return given
        asks = self._asks_in_evaluation(given["callbacks"])
        held_out = self._preprocessing(teaching=asks)
        return preprocessing.fit_arguments(how, held_out, given)

    def _look_at_labels(self, y: Any, validation: Any) -> None:
        self._objective.look_at(y)
        if isinstance(validation, (tuple, list)) and len(validation) > 1:
            first_look.check_some(validation[0], "validation_data")
            self._objective.look_at(validation[1], "validation_data[1]")

    def _preprocessing(self, *, teaching: bool) -> preprocessors.Preprocessing:
        return preprocessing.needed(self.student, self._objective.teacher if teaching else None)

    def _preprocessed(self, given: dict[str, Any], *, teaching: bool) -> dict[str, Any]:
        how = self._preprocessing(teaching=teaching)
        return preprocessing.batch_arguments(how, given) if how else given

    def _keep_weights(self, given: dict[str, Any]) -> tuple:
        """Gives arrays with weights, but without labels, missing ones, and returns the three.

        Keras would drop the weights.
        """
        x, y, weights = map(given.get, _DATA)
        if weights is not None and y is None and are_arrays(x):
            forms.check_nothing_compares(self)
            given["y"] = y = labels.none_for(x)
        return x, y, weights

    def _note_weights(self, y: Any, sample_weight: Any) -> None:
        """Notes whether Keras will repeat one array of weights for each of several outputs."""
        nested = [keras.tree.is_nested(each) for each in (y, sample_weight)]
        alike = sample_weight is not None and nested == [True, False]
        if alike != self._objective.weighs_all_alike:
            self._objective.weighs_all_alike, self.train_function = alike, None

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Says what an error means that comes out of a backend or a pipeline."""
        try:
            yield
        except Exception as error:
            # TensorFlow lets no function create the optimizer's variables at its second call.
            self.train_function = None
            told = preprocessors.explained(error)
            told = self._objective.teacher.explained(error) if told is None else told
            if told is None:
                raise
            raise told from None

    @contextlib.contextmanager
    def _evaluating(self, asks: bool) -> Iterator[None]:
        forms.check_evaluable(self, asks)
        _keras.up_to_date(self)
        waits = self.plain_temperature.pending
        try:
            with self._telling(), self._columns.evaluation(), self._watch.evaluation():
                yield
        finally:
            if waits:  # training data tell it, not those of an evaluation
                self.plain_temperature.find_again(self._terms)


def _without_self(given: dict[str, Any]) -> dict[str, Any]:
    """Returns the `locals()` of a method that has just begun as its arguments."""
    return {name: value for name, value in given.items() if name not in ("self", "__class__")}


def _first_batch(x: Any, batch_size: int | None) -> int | None:
    """Returns how many examples the first batch has, `None` where only the batch will tell."""
    arrays = are_arrays(x)
    leaves = keras.tree.flatten(x if arrays else getattr(x, "element_spec", ()))
    shapes = [getattr(leaf, "shape", ()) for leaf in leaves]
    sizes = [shape[0] for shape in shapes if shape and len(shape)]
    if not sizes or sizes[0] is None or not isinstance(batch_size, int | None):
        return batch_size
    return min(sizes[0], batch_size or _KERAS_BATCH_SIZE) if arrays else sizes[0]
