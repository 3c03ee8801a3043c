"""What a model calls its inputs and outputs, and a batch in the structure that it takes."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import refusal
from keras_kd.losses.base import same_shape

__all__ = ["Inputs", "Port", "is_automatic", "output_names", "ports", "same_but_for_ones"]


@dataclass(frozen=True)
class Port:
    """An input or an output of a model.

    Attributes:
        name: The key in a dict, else the layer's name.
        given: Whether somebody has chosen the name. Keras numbers the others (`dense_3`), so that
            equal ones mean nothing by themselves.
        shape: Its symbolic shape with the batch axis, `None` where it is not known.
        dtype: Its dtype, `None` where it is not known.
    """

    name: str
    given: bool
    shape: tuple[int | None, ...] | None
    dtype: str | None = None

    def __str__(self) -> str:
        return f"{self.name!r} {self.shape}"


def ports(structure: Any) -> list[Port]:
    """Returns the symbolic tensors of a model's inputs or outputs by name, in Keras' order."""
    found = []
    for path, tensor in keras.tree.flatten_with_path(structure):
        keyed = isinstance(structure, dict) and len(path) == 1
        name, given = (path[0], True) if keyed else _layer_name(tensor)
        found.append(Port(name, given, tuple(tensor.shape), tensor.dtype))
    return found


def output_names(model: keras.Model, count: int, alone: str) -> list[str]:
    """Returns the names of outputs that no dict names: their layers', if these differ.

    Args:
        model: The model.
        count: How many outputs it has.
        alone: The name of an output that has no others beside it, whatever its layer is called.
    """
    if count == 1:
        return [alone]
    names = list(getattr(model, "output_names", ()))
    return names if len(set(names)) == count else [f"output_{place}" for place in range(count)]


def _layer_name(tensor: Any) -> tuple[str, bool]:
    """Returns the name of the layer that gives a tensor, and whether somebody has chosen it.

    The outputs of a nested model have the names that they have within it.
    """
    operation, _, index = _keras.origin(tensor)
    inner = _keras.graph(operation) if isinstance(operation, keras.Model) else None
    if inner is not None:
        port = ports(inner[1])[index]
        return port.name, port.given
    kind = _snake_case(type(operation).__name__)
    return operation.name, not (is_automatic(operation.name) or _base(operation.name) == kind)


def is_automatic(name: str) -> bool:
    """Whether Keras gives such names of its own accord, e.g. `input_layer` and `dense_3`."""
    return _base(name.removesuffix("CLONE")) in _automatic_bases()


@functools.cache
def _automatic_bases() -> set[str]:
    layers = (_snake_case(name) for name in dir(keras.layers))
    return {*layers, "functional", "sequential", "keras_tensor", "input", "output"}


def _base(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _snake_case(name: str) -> str:
    # As Keras does where it names a layer by its class.
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def same_but_for_ones(a: tuple, b: tuple) -> bool:
    """Whether Keras takes one shape for the other: it adds and drops a last axis of size 1."""
    a, b = (shape[:-1] if shape[-1:] == (1,) else shape for shape in (a, b))
    return same_shape(a, b)


class Inputs:
    """The inputs of a model, in whatever container a batch brings them.

    Args:
        model: The model.

    Attributes:
        ports: The inputs, in Keras' order; none where the model does not show its graph, so that
            its `call` takes the batch as it comes.
    """

    def __init__(self, model: keras.Model):
        graph = _keras.graph(model)
        self._model_name = model.name
        self._structure, self._in_order = (graph[0] if graph else None), True
        self.ports = ports(self._structure) if graph else []
        self._names = [port.name for port in self.ports]

    @classmethod
    def named(cls, model_name: str, found: Sequence[Port]) -> "Inputs":
        """Returns the inputs of what is not a Keras model: one tensor, or a dict by name."""
        inputs = cls.__new__(cls)
        inputs.ports = sorted(found, key=lambda port: port.name)  # as Keras flattens dicts
        inputs._model_name, inputs._names = model_name, [port.name for port in inputs.ports]
        several = len(inputs.ports) > 1
        inputs._structure = dict.fromkeys(inputs._names, 0) if several else 0
        inputs._in_order = not several  # a file's inputs have no order that users know
        return inputs

    def fed(self, x: Any) -> Any:
        """Returns what the model takes of a batch; a dict may have more keys, in any order."""
        return self.packed(self.leaves(x)) if self.ports else x

    def packed(self, leaves: Sequence[Any]) -> Any:
        """Returns the inputs in the model's own structure."""
        return keras.tree.pack_sequence_as(self._structure, list(leaves))

    def leaves(self, x: Any) -> list[Any]:
        """Returns the inputs out of a batch: of a dict by name, else in order.

        Raises:
            ValueError: If they are not there.
        """
        if isinstance(x, Mapping) and set(self._names) <= set(x):
            return [x[name] for name in self._names]
        flat = keras.tree.flatten(x)
        other_names = isinstance(x, Mapping) and not self._is_nested
        other_names = other_names or not (isinstance(x, Mapping) or self._in_order)
        if other_names or len(flat) != len(self._names):
            raise refusal(
                f"A batch must have the inputs of {self._model_name!r}",
                expected=f"{self._names}, as a dict by these names"
                + " or as a list in this order" * self._in_order,
                received=f"a dict of {list(x)}"
                if isinstance(x, Mapping)
                else f"{len(flat)} inputs",
                mend="Give each input by its name",
            )
        return flat

    @property
    def _is_nested(self) -> bool:
        return isinstance(self._structure, Mapping) and any(
            keras.tree.is_nested(value) for value in self._structure.values()
        )
