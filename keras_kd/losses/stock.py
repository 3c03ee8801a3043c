"""Keras' own losses between labels and probabilities, which do not serve between logits."""

import functools
from typing import Any

import keras

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
_BETTER = {function: better for function, _, better in _TABLE}
_BY_COMPILE = ("crossentropy", "ce")  # names that only `compile` understands
SPARSE = ("sparse_categorical_crossentropy", *_BY_COMPILE)  # losses that may take class ids


def name_of(loss: Any) -> str | None:
    """Returns a stock probability loss's function name, however it was given; else `None`."""
    if isinstance(loss, functools.partial):
        return name_of(loss.func)
    if isinstance(loss, str):
        if loss.lower() in _BY_COMPILE:
            return loss.lower()
        loss = keras.losses.get(loss)
    for function, class_name, _ in _TABLE:
        stock_class = getattr(keras.losses, class_name, None)
        if stock_class is not None and isinstance(loss, stock_class):
            return function
        if loss is not None and loss is getattr(keras.losses, function, None):
            return function
    return None


def is_binary(loss: Any) -> bool:
    """Whether a stock loss takes each class by itself."""
    return _BETTER.get(name_of(loss)) == "MultiLabelSoftTargets"


def better_on_logits(loss: Any) -> str | None:
    """Returns the class of `keras_kd.losses` to take between logits; `None` for other losses."""
    return _BETTER.get(name_of(loss))
