"""A Keras 3 student, layer by layer in tf_keras, which tensorflow-model-optimization works on."""

import inspect
import os
import warnings
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import reason, refusal
from keras_kd._extras import require
from keras_kd.compression.rebuilding import is_graph
from keras_kd.compression.students import METHODS, methods
from keras_kd.networks.models import check_model

__all__ = ["packages", "to_tf_keras"]

_SWITCH = "TF_USE_LEGACY_KERAS"
_TOLERANCE = 1e-4
_RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
# Functions of keras.ops that are layers in tf_keras.
_FUNCTIONS = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
# Of these only the regularizers count, as the weights are copied.
_DROPPED = ("initializer", "quantization_config", "build_config")


def packages() -> tuple[Any, Any]:
    """Returns tf_keras and tensorflow_model_optimization.

    Importing the second one sets an environment variable, and makes `tf.keras` Keras 2 where
    nobody has used it yet. Both stay as they are.

    Raises:
        ImportError: If they are not installed, with the command to type.
    """
    import tensorflow as tf

    before = os.environ.get(_SWITCH)
    _ = tf.keras.layers.Layer  # decides what tf.keras is
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tf_keras = require("tf_keras", extra="compression")
            tfmot = require("tensorflow_model_optimization", extra="compression")
    finally:
        os.environ.pop(_SWITCH, None)
        if before is not None:
            os.environ[_SWITCH] = before
    return tf_keras, tfmot


def to_tf_keras(student: keras.Model) -> Any:
    """Returns a student as a tf_keras model, which `tfmot.quantization.keras` and others annotate.

    Each layer becomes the layer of the same name, with the same weights; the outputs of both
    models are compared.

    Args:
        student: A built Functional or Sequential model without transforms, in float32. It stays
            as it is.

    Returns:
        A `tf_keras.Model`.

    Raises:
        TypeError: If `student` is not a Keras model.
        ValueError: If it hides its graph, is compressed, or has layers that have no equal in
            tf_keras, all of which the message names.
        ImportError: If tf_keras is missing.

    Example:
    ```python
    annotated = tfmot.quantization.keras.quantize_model(compression.tfmot.to_tf_keras(student))
    student = compression.tfmot.adopt(annotated)
    ```
    """
    check_model(student, "student")
    if _keras.graph(student) is None or methods(student):
        done = " and ".join(METHODS[each] for each in methods(student))
        raise refusal(
            "student must be a graph of ordinary layers to be ported",
            expected="a Functional or Sequential model without transforms",
            received=f"{student.name!r}, which has had {done}" if done else repr(student.name),
            mend="Port what compression.finish returns, or build it from keras.Input",
        )
    port = _Port(packages()[0])
    made = port.model(student)
    if port.left:
        raise _not_exact(port.left)
    _compare(student, made, port)
    return made


class _Port:
    """Ports the layers of a model, and notes those that it cannot.

    Args:
        tf_keras: The package.
    """

    def __init__(self, tf_keras: Any):
        self._tf_keras = tf_keras
        self._made: dict[int, Any] = {}
        self.left: dict[str, str] = {}
        # Of the outermost model: the symbolic outputs of both.
        self.tensors: list[tuple[str, Any, Any]] = []

    def model(self, model: keras.Model) -> Any:
        """Returns the model in tf_keras."""
        inputs, outputs = _keras.graph(model)
        new, tensors = {}, []
        for tensor in keras.tree.flatten(inputs):
            name, shape = _keras.origin(tensor)[0].name, tensor.shape
            new[id(tensor)] = self._tf_keras.Input(shape[1:], shape[0], name, tensor.dtype)
        again = keras.tree.map_structure(lambda tensor: new[id(tensor)], inputs)
        for node in _keras.nodes(keras.tree.flatten(outputs)):
            if not node.input_tensors:
                continue
            layer = self._layer(node.operation)
            if layer is None or self.left:
                continue
            args, kwargs = node.fill_in(new)
            given = keras.tree.flatten(layer(*args, **_plain(kwargs)))
            new |= dict(zip(map(id, node.outputs), given))
            tensors.append((node.operation.name, node.outputs[0], given[0]))
        self.tensors = tensors
        if self.left:
            return None
        outputs = keras.tree.map_structure(lambda tensor: new[id(tensor)], outputs)
        return self._tf_keras.Model(again, outputs, name=model.name)

    def _layer(self, operation: Any) -> Any:
        if id(operation) not in self._made:
            try:
                self._made[id(operation)] = self._ported(operation)
            except Exception as error:
                self.left[operation.name] = f"{type(operation).__name__}: {reason(error)}"
                self._made[id(operation)] = None
        return self._made[id(operation)]

    def _ported(self, operation: Any) -> Any:
        if is_graph(operation):
            return self.model(operation)
        kind, layers = type(operation).__name__, self._tf_keras.layers
        if not isinstance(operation, keras.layers.Layer):
            if kind not in _FUNCTIONS:
                raise ValueError("a function of keras.ops")
            return _joining(getattr(layers, kind)(name=operation.name))
        if not hasattr(layers, kind) or not type(operation).__module__.startswith("keras."):
            raise ValueError("tf_keras has no layer of this name")
        cls = getattr(layers, kind)
        layer = cls.from_config(_config(operation, cls))
        if operation.weights:
            layer.build(operation.get_build_config()["input_shape"])
            layer.set_weights(operation.get_weights())
        layer.trainable = operation.trainable
        return layer


def _joining(layer: Any) -> Any:
    return lambda *tensors, **kwargs: layer([*tensors, *kwargs.values()])


def _plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if value is not None}


def _config(layer: keras.layers.Layer, cls: type) -> dict[str, Any]:
    """Returns the arguments of a layer as the class in tf_keras takes them."""
    known = {"name", "trainable"}
    for base in cls.__mro__:
        known |= set(inspect.signature(base.__init__).parameters)
    renamed = _RENAMED.get(cls.__name__, {})
    config: dict[str, Any] = {"dtype": "float32"}
    for name, value in layer.get_config().items():
        name = renamed.get(name, name)
        if name == "dtype" or name.endswith(_DROPPED):
            continue
        if name in known:
            config[name] = _object(value)
        elif value not in (None, False, [], 1):
            raise ValueError(f"tf_keras does not know {name}={value!r}")
    return config


def _object(value: Any) -> Any:
    """Keras 3 writes where an object comes from, which tf_keras would look for there."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    return {"class_name": value["class_name"], "config": value.get("config", {})}


def _compare(student: keras.Model, made: Any, port: _Port) -> None:
    rng = np.random.default_rng(0)
    inputs = keras.tree.map_structure(
        lambda tensor: _drawn(rng, tensor), keras.tree.flatten(_keras.graph(student)[0])
    )
    names, old, new = zip(*port.tensors)
    ours = keras.Model(keras.tree.flatten(_keras.graph(student)[0]), list(old))(inputs)
    theirs = made.__class__(made.inputs, list(new))(inputs)
    wrong = {}
    for name, a, b in zip(names, keras.tree.flatten(ours), keras.tree.flatten(theirs)):
        a, b = (np.asarray(x, "float64") for x in (a, b))
        error = np.sqrt(np.mean((a - b) ** 2)) / max(np.sqrt(np.mean(a**2)), 1e-9)
        if not error <= _TOLERANCE:  # NaN is not exact either
            wrong[name] = f"an error of {error:.2g}"
    if wrong:
        first = next(iter(wrong))
        raise _not_exact({first: f"{type(student.get_layer(first)).__name__}: {wrong[first]}"})


def _drawn(rng: Any, tensor: Any) -> np.ndarray:
    shape = (4, *(size or 8 for size in tensor.shape[1:]))
    return rng.uniform(0, 2, shape).astype(tensor.dtype)


def _not_exact(layers: dict[str, str]) -> ValueError:
    return refusal(
        "Each layer of the student must have its equal in tf_keras",
        expected="layers that tf_keras has, too, and that compute the same there",
        received="; ".join(f"{name!r}, {why}" for name, why in layers.items()),
        mend="Use compression.prune, cluster and quantize_aware, which take any Keras layer",
    )
