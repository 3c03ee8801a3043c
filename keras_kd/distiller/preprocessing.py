"""Raw data for students and teachers that are KerasHub's tasks."""

from typing import Any

import keras

from keras_kd.teachers import preprocessors, raw_arrays
from keras_kd.teachers.preprocessors import Preprocessing
from keras_kd.teachers.teacher import Teacher

__all__ = ["batch_arguments", "data_arguments", "fit_arguments", "needed"]

_DATA = ("x", "y", "sample_weight")


def needed(student: keras.Model, teacher: Teacher | None) -> Preprocessing:
    """Returns what student and teacher, if it is asked, do to raw data; false for nothing."""
    return Preprocessing(preprocessors.of(student), teacher and teacher.preprocess_samples)


def fit_arguments(
    how: Preprocessing, held_out: Preprocessing, given: dict[str, Any]
) -> dict[str, Any]:
    """Returns the arguments of `fit` with preprocessed data in place of raw ones.

    Args:
        how: What is done to the training data.
        held_out: What is done to the validation data.
        given: The arguments.
    """
    given = dict(given)
    parts = tuple(given.pop(name) for name in _DATA)
    size, share = given.pop("batch_size"), given.pop("validation_split")
    validation_size = given.pop("validation_batch_size") or size
    validation, lists = given.pop("validation_data"), not how.of_student
    if share and validation is None:
        parts, validation = raw_arrays.split(parts, share, lists)
    data = {"x": how.dataset(*parts, size, given.pop("shuffle")), "shuffle": False}
    if validation is not None:
        parts = keras.utils.unpack_x_y_sample_weight(validation)
        data["validation_data"] = held_out.dataset(*parts, validation_size)
    return given | data


def data_arguments(how: Preprocessing, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of `evaluate` or `predict` with preprocessed data."""
    given = dict(given)
    return given | {"x": how.dataset(*(given.pop(name, None) for name in (*_DATA, "batch_size")))}


def batch_arguments(how: Preprocessing, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a method for a single batch with preprocessed data."""
    given = dict(given)
    made = how.of_batch(*(given.pop(name, None) for name in _DATA))
    return given | {name: part for name, part in zip(_DATA, made) if part is not None}
