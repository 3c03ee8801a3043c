"""Raw data for students and teachers that are KerasHub's tasks."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_kd.teachers import preprocessors, raw_arrays
from keras_kd.teachers.preprocessors import Preprocessing

_SIGNATURE = ("__name__", "__qualname__")  # all else of a wrapper is its own


class TakesRawData(keras.Model):
    """A model that preprocesses as KerasHub's tasks do, where student or teacher is one.

    Subclasses set what is declared here.
    """

    student: keras.Model
    asked: Any
    evaluates_terms: bool

    def _preprocessing(self, *, teaching: bool) -> Preprocessing:
        teacher = self.asked.preprocess_samples if teaching else None
        return Preprocessing(preprocessors.of(self.student), teacher)

    @functools.wraps(keras.Model.fit, _SIGNATURE)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains the student, as `keras.Model.fit`; both models preprocess in their own way."""
        given, how = _bound(super().fit, args, kwargs), self._preprocessing(teaching=True)
        if not how:
            return super().fit(**given)
        held_out = self._preprocessing(teaching=self.evaluates_terms)
        given.update(_prepared(how, held_out, given))
        try:
            return super().fit(**given)
        except Exception as error:
            said = preprocessors.explained(error)
            if said is None:
                raise
            raise said from None

    @functools.wraps(keras.Model.evaluate, _SIGNATURE)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the student, as `keras.Model.evaluate`, on what it preprocesses."""
        given = _bound(super().evaluate, args, kwargs)
        how = self._preprocessing(teaching=self.evaluates_terms)
        # Keras' name for the data that `fit` has preprocessed already.
        if how and not given.get("_use_cached_eval_dataset"):
            parts = (given.pop(name, None) for name in ("x", "y", "sample_weight", "batch_size"))
            given["x"] = how.dataset(*parts)
        return super().evaluate(**given)

    @functools.wraps(keras.Model.predict, _SIGNATURE)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the student's outputs, as `keras.Model.predict`; it preprocesses."""
        given, how = _bound(super().predict, args, kwargs), self._preprocessing(teaching=False)
        if how:
            given["x"] = how.dataset(given["x"], None, None, given.pop("batch_size", None))
        return super().predict(**given)

    @functools.wraps(keras.Model.train_on_batch, _SIGNATURE)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Trains the student on one batch, as `keras.Model.train_on_batch`."""
        return self._on_batch(super().train_on_batch, args, kwargs, True)

    @functools.wraps(keras.Model.test_on_batch, _SIGNATURE)
    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the student on one batch, as `keras.Model.test_on_batch`."""
        return self._on_batch(super().test_on_batch, args, kwargs, self.evaluates_terms)

    @functools.wraps(keras.Model.predict_on_batch, _SIGNATURE)
    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the student's outputs for one batch, as `keras.Model.predict_on_batch`."""
        return self._on_batch(super().predict_on_batch, args, kwargs, False)

    def _on_batch(self, method: Callable, args: tuple, kwargs: dict, teaching: bool) -> Any:
        given, how = _bound(method, args, kwargs), self._preprocessing(teaching=teaching)
        if how:
            names = ("x", "y", "sample_weight")
            made = how.of_batch(*(given.pop(name, None) for name in names))
            given.update({name: part for name, part in zip(names, made) if part is not None})
        return method(**given)


def _prepared(how: Preprocessing, held_out: Preprocessing, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the data of `fit`, preprocessed, in place of those that it is given."""
    parts = tuple(given.pop(name, None) for name in ("x", "y", "sample_weight"))
    size, share = given.pop("batch_size", None), given.pop("validation_split", 0.0)
    validation_size = given.pop("validation_batch_size", None) or size
    validation, lists = given.pop("validation_data", None), not how.of_student
    if share and validation is None:
        parts, validation = raw_arrays.split(parts, share, lists)
    data = {"x": how.dataset(*parts, size, given.pop("shuffle", True)), "shuffle": False}
    if validation is not None:
        parts = keras.utils.unpack_x_y_sample_weight(validation)
        data["validation_data"] = held_out.dataset(*parts, validation_size)
    return data


def _bound(method: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    given = dict(inspect.signature(method).bind(*args, **kwargs).arguments)
    return given | given.pop("kwargs", {})
