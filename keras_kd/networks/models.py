"""What may be a student or a teacher."""

from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import message


def check_model(model: Any, role: str) -> keras.Model:
    """Returns `model` if it is a built `keras.Model`, else raises in the name of its role.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If it is not built.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            message(
                f"{role} must be a Keras model",
                expected="a keras.Model",
                received=f"{model!r} of type {type(model).__name__}",
                mend=f"Pass {role}=keras.Model(...)",
            )
        )
    if not model.built:
        raise ValueError(
            message(
                f"{role} must be built",
                expected="a model that has its weights",
                received=f"the unbuilt model {model.name!r}",
                mend="Start it with keras.Input(shape), or call it on one batch",
            )
        )
    return model


def training_policy(model: keras.Model) -> str:
    """Returns `"mixed_float16"`, which needs loss scaling, if a layer of `model` has it."""
    mixed = any(layer.dtype_policy.name == "mixed_float16" for layer in _keras.all_layers(model))
    return "mixed_float16" if mixed else "float32"
