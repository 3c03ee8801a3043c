"""The graph of a model, built once more so that it gives signals from the inside.

The layers of the first graph are called, not copied: weights, losses and states are theirs. The
first graph itself is left as it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_kd import _keras

Step = tuple[str, int]


@dataclass(frozen=True)
class Tap:
    """A place in a graph.

    Attributes:
        steps: The layer's name and the number of its call, first of the nested models around it,
            outermost first, then its own.
        part: `"query"`, `"key"` or `"value"` of an attention layer; `None` for what a layer gives.
    """

    steps: tuple[Step, ...]
    part: str | None = None


class Call(keras.Operation):
    """A call of an operation that is at home in another graph.

    It gives the flat list of what the operation gives, and, behind it, a copy of the signal that is
    tapped. The copy keeps the mask, which attention layers take off their arguments.

    Args:
        node: The call in the graph where the operation is at home.
        name: Name, unique within the new graph.
        parts: What is tapped: `None` for the output, or names of an attention layer's parts.

    Attributes:
        stands_for: The operation.
    """

    def __init__(self, node: Any, name: str, parts: Sequence[str | None]):
        super().__init__(name=name)
        self.stands_for = node.operation
        self._parts = parts
        shapes = {
            None: node.outputs[0].shape,
            **(_keras.projection_shapes(node) if any(parts) else {}),
        }
        dtype = node.outputs[0].dtype
        self._spec = [(t.shape, t.dtype, t.sparse) for t in node.outputs]
        self._spec += [(shapes[part], dtype, False) for part in parts]

    def call(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Calls the operation; whether it trains is known from the model around it."""
        kwargs = {name: value for name, value in kwargs.items() if name != "training"}
        seen: dict[str | None, Any] = {}
        if any(self._parts):
            output, seen = _keras.attend(self.stands_for, args, kwargs)
        else:
            output = self.stands_for(*args, **kwargs)
        flat = keras.tree.flatten(output)
        if None in self._parts:
            seen[None] = _keras.masked(flat[0], _keras.keras_mask(flat[0]))
        return [*flat, *(seen[part] for part in self._parts)]

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> list[keras.KerasTensor]:
        """Returns the symbolic tensors that the operation gave at home."""
        return [keras.KerasTensor(shape, dtype, sparse) for shape, dtype, sparse in self._spec]


def stood_for(operation: Any) -> Any:
    """Returns the operation that a `Call` calls, or another operation as it is."""
    return operation.stands_for if isinstance(operation, Call) else operation


def with_taps(graph: tuple[Any, Any], taps: Iterable[Tap]) -> tuple[Any, Any, dict[Tap, Any]]:
    """Returns symbolic inputs and outputs of a graph like the given one, and the signals.

    Nested models that are tapped are opened: their layers become the graph's own.

    Args:
        graph: A model's symbolic inputs and outputs, in their structures.
        taps: Places that are there.
    """
    building = _Building(taps)
    inputs = keras.tree.map_structure(_keras.input_again, graph[0])
    flat = building.run((), graph, keras.tree.flatten(inputs))
    return inputs, keras.tree.pack_sequence_as(graph[1], flat), building.signals


class _Building:
    def __init__(self, taps: Iterable[Tap]):
        self.signals: dict[Tap, Any] = {}
        self._parts: dict[tuple[Step, ...], list[str | None]] = {}
        for tap in dict.fromkeys(taps):
            self._parts.setdefault(tap.steps, []).append(tap.part)

    def run(self, around: tuple[Step, ...], graph: Any, inputs: Sequence[Any]) -> list[Any]:
        """Builds a graph on new inputs; returns its outputs, flat."""
        first_inputs, outputs = keras.tree.flatten(graph[0]), keras.tree.flatten(graph[1])
        new = {id(old): _as_input(tensor, old) for old, tensor in zip(first_inputs, inputs)}
        calls = numbered(_keras.nodes(outputs))
        for node, number in calls:
            place = (*around, (node.operation.name, number))
            if not node.input_tensors:
                self._note_inputs(place, node, new)
                continue
            for old, tensor in zip(node.outputs, self._call(place, node, new)):
                new[id(old)] = tensor
        return [new[id(output)] for output in outputs]

    def _note_inputs(self, place: tuple[Step, ...], node: Any, new: dict[int, Any]) -> None:
        if place in self._parts:
            self.signals[Tap(place)] = new[id(node.outputs[0])]

    def _call(self, place: tuple[Step, ...], node: Any, new: dict[int, Any]) -> list[Any]:
        args, kwargs = node.arguments.fill_in(new)
        if any(steps[: len(place)] == place and steps != place for steps in self._parts):
            given = keras.tree.flatten(args[0] if args else kwargs["inputs"])
            outputs = self.run(place, _keras.graph(node.operation), given)
            if place in self._parts:
                self.signals[Tap(place)] = outputs[0]
            return outputs
        parts = self._parts.get(place, [])
        name = "__".join(f"{name}_{number}" if number else name for name, number in place)
        outputs = Call(node, name, parts)(*args, **kwargs)
        count = len(node.outputs)
        for part, signal in zip(parts, outputs[count:]):
            self.signals[Tap(place, part)] = signal
        return outputs[:count]


def _as_input(tensor: Any, expected: keras.KerasTensor) -> Any:
    """Returns what a nested model makes of a tensor that it is given: one of its own dtype."""
    if keras.backend.standardize_dtype(tensor.dtype) == expected.dtype:
        return tensor
    return ops.cast(tensor, expected.dtype)


def numbered(nodes: Sequence[Any]) -> list[tuple[Any, int]]:
    """Returns calls with their number among those of the same name, in the order they were made."""
    by_name: dict[str, list[Any]] = {}
    for node in sorted(nodes, key=_keras.call_number):
        by_name.setdefault(node.operation.name, []).append(node)
    number = {id(node): place for same in by_name.values() for place, node in enumerate(same)}
    return [(node, number[id(node)]) for node in nodes]
