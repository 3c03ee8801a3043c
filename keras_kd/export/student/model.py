"""From what the caller hands over to the model that is exported."""

import contextlib
import importlib.util
import inspect
import os
from collections.abc import Iterator
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import check_type, refusal
from keras_kd.compression.finishing import baked
from keras_kd.networks.copies import made_again
from keras_kd.networks.final_activation import known_name
from keras_kd.networks.models import check_stateless, not_made_again

__all__ = ["heads_of", "in_float32", "student_of"]

_HALF = ("float16", "bfloat16")
# The script or notebook that runs, and what a process that multiprocessing has started makes of it.
_SCRIPTS = ("__main__", "__mp_main__")


def student_of(model: keras.Model) -> keras.Model:
    """Returns the model to export: a Distiller's student, or `model` itself.

    A built subclassed model comes wrapped in a Functional one, on inputs of the shapes it was
    built for, which it shares its weights with.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If it is not built, takes something else than numbers, or off TensorFlow has
            layers that no other process can load; on PyTorch.
        ImportError: If TensorFlow is missing.
    """
    from keras_kd.distiller.distiller import Distiller

    student = model.student if isinstance(model, Distiller) else model
    _check_tensorflow()
    _check_backend()
    rule, expected = "be a Keras model", "a keras.Model or a keras_kd.Distiller"
    is_path = isinstance(student, str | os.PathLike)
    mend = "Load it with keras.saving.load_model" if is_path else "Pass the model itself"
    check_type("model", student, keras.Model, rule, expected=expected, mend=mend)
    check_stateless(student, "The model")
    if keras.backend.backend() != "tensorflow":
        _check_loadable(student)
    if not getattr(student, "inputs", None):
        student = _wrapped(student)
    _check_inputs(student)
    return student


def heads_of(model: keras.Model) -> dict[str, str | None]:
    """Returns what a Distiller knows of its student's outputs by name, which its graph may not say.

    Empty for other models. A single output has the name `"output"`.
    """
    from keras_kd.distiller.distiller import Distiller

    return model.student_heads if isinstance(model, Distiller) else {}


def _check_tensorflow() -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError("tensorflow must be installed to export. Type: pip install tensorflow")


def _check_backend() -> None:
    if keras.backend.backend() == "torch":
        raise refusal(
            "Keras must run on TensorFlow or JAX to export",
            expected="KERAS_BACKEND=tensorflow",
            received="KERAS_BACKEND=torch",
            mend="Save the student, student.save('student.keras'), and export it from a "
            "program that loads it on TensorFlow",
        )


def _wrapped(student: keras.Model) -> keras.Model:
    built = student.get_build_config() if student.built else None
    if not built or "input_shape" not in built or isinstance(student, keras.Sequential):
        raise refusal(
            "model must be built",
            expected="symbolic inputs, or a model that was called on one tensor or structure",
            received=f"{type(student).__name__} {student.name!r} of unknown inputs",
            mend="Start it with keras.Input(shape), call it on one batch, or wrap it: "
            "keras.Model(inputs, student(inputs))",
        )
    name = next(iter(inspect.signature(student.call).parameters))
    # Keras gives no two layers of a model one name.
    inputs = _symbolic(built["input_shape"], f"{name}_0" if name == student.name else name)
    _check_takes_no_tokens(student, inputs)
    return keras.Model(inputs, student(inputs, training=False), name=student.name)


def _check_loadable(student: keras.Model) -> None:
    """Another process loads a student of another backend, and does not run this script there."""
    for layer in _keras.all_layers(student):
        for part in (layer, *vars(layer).values()):
            named = part if inspect.isfunction(part) else type(part)
            if named.__module__ in _SCRIPTS or named.__name__ == "<lambda>":
                raise refusal(
                    "The layers of a student that was not trained on TensorFlow must come from "
                    "modules, as another process loads them on TensorFlow",
                    expected="classes and functions of modules that can be imported",
                    received=f"{named.__qualname__} of the running script or notebook, in "
                    f"{layer.name!r}",
                    mend="Move it into a module, with @keras.saving.register_keras_serializable",
                )
            if inspect.isfunction(part) and not isinstance(layer, keras.layers.Lambda):
                _check_name(part, layer)


def _check_name(function: Any, layer: keras.layers.Layer) -> None:
    """Keras saves an activation of such a name as its own, registered or not."""
    name, is_known = function.__name__, known_name(function) is not None
    # Those of Keras' operations and of backends are the same, but for what gelu does by default.
    is_same = is_known and name != "gelu"
    if getattr(keras.activations, name, function) is not function and not is_same:
        raise refusal(
            "The activations of a student that was not trained on TensorFlow must not have the "
            "names of Keras' own, which another process loads in their place",
            expected="a name that keras.activations does not have",
            received=f"{function.__module__}.{name} in {layer.name!r}",
            mend="Use keras.activations.gelu" if is_known else f"Rename it, e.g. my_{name}",
        )


def _check_takes_no_tokens(student: keras.Model, inputs: Any) -> None:
    """Keras keeps the shapes that a subclassed model was built for, and forgets the dtypes."""
    embeds = any(isinstance(x, keras.layers.Embedding) for x in _keras.all_layers(student))
    if embeds and any(len(x.shape) < 3 for x in keras.tree.flatten(inputs)):
        raise refusal(
            "The inputs of a subclassed model with an Embedding must have a known dtype",
            expected="keras.Input with a dtype, e.g. int32",
            received=f"{type(student).__name__} {student.name!r}, whose dtypes Keras forgets",
            mend="Wrap it: x = keras.Input(shape, dtype='int32'); keras.Model(x, student(x))",
        )


def _symbolic(shape: Any, name: str) -> Any:
    """Returns inputs of these shapes, named alike in every process."""
    if isinstance(shape, dict):
        return {key: _symbolic(part, str(key)) for key, part in shape.items()}
    if any(isinstance(part, list | tuple | dict) for part in shape):
        return [_symbolic(part, f"{name}_{place}") for place, part in enumerate(shape)]
    return keras.Input(tuple(shape[1:]), name=name)


def _check_inputs(student: keras.Model) -> None:
    for x in student.inputs:
        if not isinstance(x.shape, tuple) or x.dtype == "string":
            raise refusal(
                "The model's inputs must be dense tensors of numbers",
                received=f"{x.name!r} of dtype {x.dtype}",
                mend="Leave the text processing out of the exported model",
            )


def in_float32(student: keras.Model) -> keras.Model:
    """Returns `student`, or a float32 copy where layers compute in half precision.

    Weights of mixed precision are float32 already, so that the copy is exact. Masks and centroids
    of compressed students are taken into the kernels.

    Raises:
        ValueError: If a layer cannot be rebuilt from its configuration.
    """
    student = baked(student)
    layers = [x for x in _keras.all_layers(student) if not isinstance(x, keras.Model)]
    if not any(layer.compute_dtype in _HALF for layer in layers):
        return student
    try:
        with _float32_policy():
            copy = keras.models.clone_model(student, clone_function=_float32_layer)
        copy.set_weights(student.get_weights())
    except Exception as error:
        mend = "Build the student under the policy 'float32' and set the trained weights"
        raise not_made_again("A half-precision model", error, mend) from error
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


def _float32_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    def config(given: dict[str, Any]) -> dict[str, Any]:
        given = _float32_config(given)
        if isinstance(layer, keras.Model) and _keras.graph(layer) is None:
            # Keras adds these, which a subclass need not take; its layers follow the policy of
            # the day.
            given = {key: given[key] for key in given.keys() - {"trainable", "dtype"}}
        return given

    return made_again(layer, config)


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
