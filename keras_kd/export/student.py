"""From what the caller hands over to the model that is exported."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_kd._errors import message

_HALF = ("float16", "bfloat16")


def student_of(model: keras.Model) -> keras.Model:
    """Returns the model to export: a Distiller's student, or `model` itself.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If it has no symbolic inputs yet, or none of numbers, or Keras does not run on
            TensorFlow.
    """
    from keras_kd.distiller import Distiller

    student = model.student if isinstance(model, Distiller) else model
    _check_backend()
    if not isinstance(student, keras.Model):
        raise TypeError(
            message(
                "model must be a Keras model",
                expected="a keras.Model or a keras_kd.Distiller",
                received=type(student).__name__,
                mend="Pass the model itself",
            )
        )
    _check_inputs(student)
    return student


def _check_backend() -> None:
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            message(
                "Exports must run with Keras on TensorFlow",
                expected="the backend 'tensorflow'",
                received=repr(keras.backend.backend()),
                mend="Save the student, and load and export it under KERAS_BACKEND=tensorflow",
            )
        )


def _check_inputs(student: keras.Model) -> None:
    inputs = getattr(student, "inputs", None)
    sequential = isinstance(student, keras.Sequential)
    if not inputs:
        raise ValueError(
            message(
                "model must have symbolic inputs",
                expected="a built Functional or Sequential model",
                received=f"{type(student).__name__} {student.name!r} without inputs",
                mend=(
                    "Add keras.Input(shape) as its first layer"
                    if sequential
                    else "Wrap it: keras.Model(inputs, student(inputs))"
                ),
            )
        )
    for x in inputs:
        if not isinstance(x.shape, tuple) or x.dtype == "string":
            raise ValueError(
                message(
                    "The model's inputs must be dense tensors of numbers",
                    expected="a numeric dtype",
                    received=f"{x.name!r} of dtype {x.dtype}",
                    mend="Leave the text processing out of the exported model",
                )
            )


def in_float32(student: keras.Model) -> keras.Model:
    """Returns `student`, or a float32 copy where layers compute in half precision.

    Weights of mixed precision are float32 already, so that the copy is exact.

    Raises:
        ValueError: If a layer cannot be rebuilt from its configuration.
    """
    if not any(layer.compute_dtype in _HALF for layer in _layers(student)):
        return student
    try:
        with _float32_policy():
            copy = keras.models.clone_model(student, clone_function=_float32_layer)
        copy.set_weights(student.get_weights())
    except Exception as error:
        raise ValueError(
            message(
                "A half-precision model must be made of layers that Keras can rebuild in float32",
                expected="layers with get_config and from_config",
                received=str(error),
                mend="Build the student under the policy 'float32' and set the trained weights",
            )
        ) from error
    return copy


@contextlib.contextmanager
def _float32_policy() -> Iterator[None]:
    """Keras gives a rebuilt nested model the policy of the day, whatever its configuration says."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _float32_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    return type(layer).from_config(_float32_config(layer.get_config()))


def _float32_config(config: Any) -> Any:
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return "float32"
        return {
            # A plain string is the target of a Cast that Keras 3.8 records between layers.
            key: "float32" if key == "dtype" and value in _HALF else _float32_config(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(map(_float32_config, config))
    return config
