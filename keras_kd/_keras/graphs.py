"""The graphs of Keras' models: which operation is called on what."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras

__all__ = [
    "Node",
    "all_layers",
    "graph",
    "has_origin",
    "input_again",
    "is_stock",
    "nodes",
    "origin",
    "seed_generators",
    "shallow_copy",
]


def graph(model: keras.Model) -> tuple[Any, Any] | None:
    """Returns the symbolic inputs and outputs that define `model`, in its own structure.

    `None` where the graph does not say what the model computes: subclassed models, and Functional
    or Sequential subclasses with a `call` of their own.
    """
    if not _is_keras_code(type(model).call):
        return None
    if isinstance(model, keras.Sequential):
        return (model.inputs[0], model.outputs[0]) if model.built else None
    if not hasattr(model, "_outputs_struct"):
        return None
    return model.input, model.output


def all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Returns `model` and all layers in it, those within other layers, too."""
    return model._flatten_layers()


def seed_generators(model: keras.Model) -> list[keras.random.SeedGenerator]:
    """Returns what the layers of `model` draw their random numbers from, e.g. dropout's."""
    return [seed for layer in model._flatten_layers() for seed in layer._seed_generators]


def is_stock(layer: keras.layers.Layer) -> bool:
    """Whether Keras itself, not a subclass, computes what `layer` gives."""
    return _is_keras_code(type(layer).call)


def _is_keras_code(function: Any) -> bool:
    return function.__module__.split(".")[0] == "keras"


class Node:
    """A call of an operation in a graph: as much of Keras' own node as keras_kd reads.

    Nodes of the same call are equal.

    Attributes:
        operation: The layer or operation that is called.
        input_tensors: The symbolic tensors that it is given, flat.
        outputs: Those that it gives, flat.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
    """

    def __init__(self, node: Any):
        self._node = node
        self.operation, self.outputs = node.operation, node.outputs
        self.input_tensors = node.input_tensors
        self.args, self.kwargs = node.arguments.args, node.arguments.kwargs

    def fill_in(self, tensors: dict[int, Any]) -> tuple[tuple, dict[str, Any]]:
        """Returns the arguments with other tensors, which stand under the ids of those here."""
        return self._node.arguments.fill_in(tensors)

    @property
    def number(self) -> int:
        """The place of the call among all calls of its operation, in any model."""
        return self.operation._inbound_nodes.index(self._node)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Node) and self._node is other._node

    def __hash__(self) -> int:
        return id(self._node)


def origin(tensor: keras.KerasTensor) -> tuple[Any, Node, int]:
    """Returns the operation that made `tensor`, the node of that call and the tensor's place."""
    operation, node_index, tensor_index = tensor._keras_history
    return operation, Node(operation._inbound_nodes[node_index]), tensor_index


def has_origin(tensor: keras.KerasTensor) -> bool:
    """Whether a symbolic tensor belongs to a graph; one that Keras makes for its shape does not."""
    return hasattr(tensor, "_keras_history")


def nodes(tensors: Sequence[keras.KerasTensor]) -> list[Node]:
    """Returns the calls that lead to symbolic tensors, each after those that it needs."""
    order, seen = [], set()
    stack = [(origin(tensor)[1], False) for tensor in reversed(tensors)]
    while stack:
        node, its_needs_are_there = stack.pop()
        if its_needs_are_there:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((origin(tensor)[1], False) for tensor in reversed(node.input_tensors))
    return order


def input_again(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Returns a second input of a model, like the first in all."""
    layer = origin(tensor)[0]
    return keras.Input(
        batch_shape=tensor.shape,
        dtype=tensor.dtype,
        sparse=tensor.sparse,
        name=layer.name,
        optional=getattr(layer, "optional", False),
    )


def shallow_copy(original: Any) -> Any:
    """Returns a second layer, on the same weights, operation or loss, without serializing it."""
    twin = object.__new__(type(original))
    twin.__dict__.update(original.__dict__)
    if isinstance(original, keras.Operation):
        twin.__dict__.update(_inbound_nodes=[], _outbound_nodes=[])
    return twin
