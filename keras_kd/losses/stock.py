"""Keras' own losses: what they compare, and what serves between logits in their place."""

import functools
from typing import Any

import keras

__all__ = ["SPARSE", "as_object", "better_on_logits", "is_binary", "label", "name_of", "target_of"]

# Name of the function, name of the class, and what serves between logits in its place.
_TABLE = [
    ("binary_crossentropy", "BinaryCrossentropy", "MultiLabelSoftTargets"),
    ("binary_focal_crossentropy", "BinaryFocalCrossentropy", "MultiLabelSoftTargets"),
    ("categorical_crossentropy", "CategoricalCrossentropy", "SoftTargets"),
    ("categorical_focal_crossentropy", "CategoricalFocalCrossentropy", "SoftTargets"),
    (
        "categorical_generalized_cross_entropy",
        "CategoricalGeneralizedCrossEntropy",
        "SoftTargets",
    ),
    ("kl_divergence", "KLDivergence", "SoftTargets"),
    ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "SoftTargets"),
]
# What the labels of Keras' other losses are: one class, numbers, or scores that tell neither.
_OTHERS = [
    ("categorical_hinge", "CategoricalHinge", "class"),
    ("ctc", "CTC", "class"),
    ("cosine_similarity", "CosineSimilarity", "number"),
    ("huber", "Huber", "number"),
    ("log_cosh", "LogCosh", "number"),
    ("mean_absolute_error", "MeanAbsoluteError", "number"),
    ("mean_absolute_percentage_error", "MeanAbsolutePercentageError", "number"),
    ("mean_squared_error", "MeanSquaredError", "number"),
    ("mean_squared_logarithmic_error", "MeanSquaredLogarithmicError", "number"),
    ("poisson", "Poisson", "number"),
    ("circle", "Circle", "score"),
    ("dice", "Dice", "score"),
    ("hinge", "Hinge", "score"),
    ("squared_hinge", "SquaredHinge", "score"),
    ("tversky", "Tversky", "score"),
]
_TARGETS = {function: target for function, _, target in _OTHERS}
_BETTER = {function: better for function, _, better in _TABLE}
_BY_COMPILE = ("crossentropy", "ce")  # names that only `compile` understands
SPARSE = ("sparse_categorical_crossentropy", *_BY_COMPILE)  # losses that may take class ids


def name_of(loss: Any) -> str | None:
    """Returns a stock probability loss's function name, however it was given; else `None`."""
    if isinstance(loss, str) and loss.lower() in _BY_COMPILE:
        return loss.lower()
    return _found(loss, _TABLE)


def _found(loss: Any, table: list[tuple[str, str, str]]) -> str | None:
    """Returns the function's name of a loss in a table: a name, function, class or object."""
    if isinstance(loss, functools.partial):
        return _found(loss.func, table)
    if isinstance(loss, str):
        loss = None if loss.lower() in _BY_COMPILE else keras.losses.get(loss)
    if loss is None:
        return None
    given = loss if isinstance(loss, type) else type(loss)
    for function, class_name, _ in table:
        stock_class = getattr(keras.losses, class_name, None)
        if stock_class is not None and issubclass(given, stock_class):
            return function
        if loss is getattr(keras.losses, function, None):
            return function
    return None


def as_object(loss: Any) -> Any:
    """Returns the object for a stock loss's function, anything else unchanged."""
    for function, class_name, _ in _TABLE + _OTHERS:
        if loss is getattr(keras.losses, function, None):
            return getattr(keras.losses, class_name)()
    return loss


def target_of(loss: Any) -> str | None:
    """Returns what the labels of a stock loss are.

    `"class"` where classes exclude each other, `"labels"` where they do not, `"number"`, `"score"`
    where it may be either; `None` for losses of the user's own.
    """
    better = better_on_logits(loss)
    if better:
        return "labels" if better == "MultiLabelSoftTargets" else "class"
    return _TARGETS.get(_found(loss, _OTHERS))


def label(loss: Any) -> str | None:
    """Returns a loss's name for a message, `None` where there is no loss."""
    if isinstance(loss, keras.losses.Loss):
        return type(loss).__name__
    if loss is None or isinstance(loss, str):
        return loss
    return name_of(loss) or _found(loss, _OTHERS) or getattr(loss, "__name__", repr(loss))


def is_binary(loss: Any) -> bool:
    """Whether a stock loss takes each class by itself."""
    return _BETTER.get(name_of(loss)) == "MultiLabelSoftTargets"


def better_on_logits(loss: Any) -> str | None:
    """Returns the class of `keras_kd.losses` to take between logits; `None` for other losses."""
    return _BETTER.get(name_of(loss))
