"""The graph of a model, built once more so that it gives signals from the inside.

The layers of the first graph are called, not copied: weights, losses and states are theirs. The
first graph itself is left as it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.networks.stand_ins import seen_through

__all__ = ["Call", "Opened", "Step", "Tap", "stood_for", "with_call_numbers", "with_taps"]

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

    It gives the flat list of what the operation gives, followed by a copy of the signal that is
    tapped. The copy keeps the mask, which attention layers take off their arguments.

    Args:
        node: The call in the graph where the operation is at home.
        name: Name, unique within the new graph.
        parts: What is tapped: `None` for the output, or names of an attention layer's parts.

    Attributes:
        stands_for: The operation.
    """

    def __init__(self, node: _keras.Node, name: str, parts: Sequence[str | None]):
        super().__init__(name=name)
        self.stands_for = node.operation
        self._parts = parts
        self._home = node

    def call(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Calls the operation; whether it trains is known from the model around it."""
        # `training=` was written down for the graph at home; Keras hands on that of this one.
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
        """Returns symbolic tensors like those at home, or as the given shapes make them."""
        specs, given = self._home.outputs, (self._home.args, self._home.kwargs)
        if self._sizes_differ(args, kwargs):
            specs, given = self.stands_for.compute_output_spec(*args, **kwargs), (args, kwargs)
            specs = keras.tree.flatten(specs)
        shapes = {None: specs[0].shape}
        if any(self._parts):
            shapes |= _keras.projection_shapes(seen_through(self.stands_for), *given)
        dtype = specs[0].dtype
        spec = [(tensor.shape, tensor.dtype, tensor.sparse) for tensor in specs]
        spec += [(shapes[part], dtype, False) for part in self._parts]
        return [keras.KerasTensor(*of_one) for of_one in spec]

    def _sizes_differ(self, args: Any, kwargs: Any) -> bool:
        """Whether sizes are given that differ from those at home.

        Other ranks do not count: Keras adapts them when the model runs, not in its shapes.
        """
        given = [t for t in keras.tree.flatten((args, kwargs)) if isinstance(t, keras.KerasTensor)]
        pairs = [(new.shape, old.shape) for new, old in zip(given, self._home.input_tensors)]
        return any(a != b for a, b in pairs) and all(len(a) == len(b) for a, b in pairs)


class Opened(keras.Model):
    """A nested model that gives the flat list of its outputs, followed by signals.

    It is called as the nested model is; Keras makes the same of names, ranks, dtypes and masks.

    Args:
        model: The nested model.
        inputs: Symbolic inputs like those of the nested model.
        outputs: Its outputs on them, flat.
        signals: Signals from the inside.
        name: Name, unique within the graph around it.
    """

    def __init__(
        self, model: Any, inputs: Any, outputs: Sequence[Any], signals: Sequence[Any], name: str
    ):
        super().__init__(inputs, [*outputs, *signals], name=name)
        self.supports_masking = model.supports_masking
        self._masks_of, self._count = model.compute_mask, len(outputs)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> list[Any]:
        """Returns the masks of the nested model's outputs; signals keep their own."""
        return keras.tree.flatten(self._masks_of(inputs, previous_mask))[: self._count]


def stood_for(operation: Any) -> Any:
    """Returns the operation that a `Call` calls, or another operation as it is."""
    return operation.stands_for if isinstance(operation, Call) else operation


def with_taps(graph: tuple[Any, Any], taps: Iterable[Tap]) -> tuple[Any, Any, dict[Tap, Any]]:
    """Returns symbolic inputs and outputs of a graph like the given one, and the signals.

    Args:
        graph: A model's symbolic inputs and outputs, in their structures.
        taps: Places in the graph.
    """
    inputs = keras.tree.map_structure(_keras.input_again, graph[0])
    first = keras.tree.flatten(graph[0])
    # By identity, because `==` of symbolic tensors is an operation of the graph.
    new = {id(old): tensor for old, tensor in zip(first, keras.tree.flatten(inputs))}
    building = _Building(taps)
    building.run(keras.tree.flatten(graph[1]), new)
    outputs = keras.tree.map_structure(lambda output: new[id(output)], graph[1])
    return inputs, outputs, building.signals


class _Building:
    def __init__(self, taps: Iterable[Tap]):
        self.signals: dict[Tap, Any] = {}
        self._names: set[str] = set()
        self._parts: dict[Step, list[str | None]] = {}
        self._inside: dict[Step, list[Tap]] = {}
        for tap in dict.fromkeys(taps):
            step, *rest = tap.steps
            if rest:
                self._inside.setdefault(step, []).append(Tap(tuple(rest), tap.part))
            else:
                self._parts.setdefault(step, []).append(tap.part)

    def run(self, outputs: Sequence[Any], new: dict[int, Any]) -> None:
        """Makes the calls that lead to outputs again; adds their tensors to `new`."""
        calls = with_call_numbers(_keras.nodes(outputs))
        self._names = {node.operation.name for node, _ in calls}
        for node, number in calls:
            step = (node.operation.name, number)
            if node.input_tensors:
                new |= {id(old): t for old, t in zip(node.outputs, self._call(step, node, new))}
            # An input: nothing is called, so its tensor is the signal.
            elif step in self._parts:
                self.signals[Tap((step,))] = new[id(node.outputs[0])]

    def _call(self, step: Step, node: _keras.Node, new: dict[int, Any]) -> list[Any]:
        args, kwargs = node.fill_in(new)
        count, name = len(node.outputs), self._unique(*step)
        if step in self._inside:
            inputs, outputs, inner = with_taps(_keras.graph(node.operation), self._inside[step])
            flat = keras.tree.flatten(outputs)
            opened = Opened(node.operation, inputs, flat, list(inner.values()), name)
            outputs = opened(*args, **kwargs)
            places = [Tap((step, *tap.steps), tap.part) for tap in inner]
            if step in self._parts:
                self.signals[Tap((step,))] = outputs[0]
        else:
            parts = self._parts.get(step, [])
            outputs = Call(node, name, parts)(*args, **kwargs)
            places = [Tap((step,), part) for part in parts]
        self.signals |= dict(zip(places, outputs[count:]))
        return outputs[:count]

    def _unique(self, name: str, number: int) -> str:
        """Returns the name of a call: the operation's own at the first, then one still free."""
        unique = name
        while number and unique in self._names:
            unique, number = f"{name}_{number}", number + 1
        self._names.add(unique)
        return unique


def with_call_numbers(nodes: Sequence[_keras.Node]) -> list[tuple[_keras.Node, int]]:
    """Returns calls with their number among those of the same name, in the order they were made."""
    by_name: dict[str, list[_keras.Node]] = {}
    # Keras sorts by depth; whoever names a call counts them in the order of the code.
    for node in sorted(nodes, key=lambda node: node.number):
        by_name.setdefault(node.operation.name, []).append(node)
    number = {node: place for same in by_name.values() for place, node in enumerate(same)}
    return [(node, number[node]) for node in nodes]
