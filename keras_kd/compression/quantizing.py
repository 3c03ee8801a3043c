"""A student's graph once more, of layers that round, with ranges after them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.compression.compressed import Compressed
from keras_kd.compression.norms import Affine, FoldedNorm
from keras_kd.compression.operations import L
from keras_kd.compression.placement import Placement
from keras_kd.compression.pooling import MapMean
from keras_kd.compression.ranges import ActivationRange, FixedRange, RoundedActivation
from keras_kd.compression.rebuilding import is_graph, like_it
from keras_kd.networks.stand_ins import seen_through

__all__ = ["BEFORE", "Quantizing"]

# The end of the name of what gives an output, whose own name its range has.
BEFORE = "_before_range"
_AFFINE = (L.BatchNormalization, L.Rescaling, L.Normalization)


@dataclass(frozen=True)
class _Graph:
    """A graph under way.

    Attributes:
        placement: Where it needs ranges.
        ends: The identities of its outputs, where it is the outermost.
        passes: How often a pass of the student goes through it.
        names: How many operations have each name.
    """

    placement: Placement
    ends: set[int]
    passes: int
    names: Counter[str] = field(default_factory=Counter)

    def is_end(self, tensor: Any) -> bool:
        """Whether a tensor is an output with a range, which takes over the output's name."""
        return id(tensor) in self.ends and self.placement.range_of(tensor) is not None

    def named(self, name: str) -> str:
        """Returns a name that no other operation has."""
        self.names[name] += 1
        return name if self.names[name] == 1 else f"{name}_{self.names[name] - 1}"


class Quantizing:
    """Builds a model of new layers, with ranges after them.

    Args:
        made: The layers in the places of the student's, by its layers' identity.
        calls: How often a pass of the student calls each of its layers, likewise.
    """

    def __init__(self, made: dict[int, Any], calls: dict[int, int]):
        self._made, self._calls = made, calls
        self._models: dict[int, keras.Model] = {}
        self._passes: Counter[int] = Counter()
        self._extra: dict[Any, Any] = {}
        self._places: Counter[Any] = Counter()

    def student(self, student: keras.Model) -> keras.Model:
        """Returns the model in the place of the student."""
        self._count(student)
        return self._model(student, is_outermost=True)

    def _count(self, model: keras.Model) -> None:
        self._passes[id(model)] += 1
        for node in _keras.nodes(keras.tree.flatten(_keras.graph(model)[1])):
            if is_graph(node.operation):
                self._count(node.operation)

    def _model(self, model: keras.Model, is_outermost: bool = False) -> keras.Model:
        if id(model) in self._models:
            return self._models[id(model)]
        inputs, outputs = _keras.graph(model)
        passes = self._passes[id(model)]
        placement = Placement(
            (inputs, outputs),
            lambda x: self._made.get(id(x), x),
            lambda x: self._calls.get(id(x)) == passes,
            is_outermost,
        )
        ends = set(map(id, keras.tree.flatten(outputs))) if is_outermost else set()
        graph = _Graph(placement, ends, passes)
        again = keras.tree.map_structure(_keras.input_again, inputs)
        plain = dict(zip(map(id, keras.tree.flatten(inputs)), keras.tree.flatten(again)))
        new: dict[int, Any] = {}
        for old in keras.tree.flatten(inputs):
            name = f"{plain[id(old)].name}_range"
            new[id(old)] = self._rounded(graph, old, plain[id(old)], name)
        for node in _keras.nodes(keras.tree.flatten(outputs)):
            if node.input_tensors:
                self._call(graph, node, new)
        new |= plain  # an input that is an output, too, goes on as it came
        outputs = keras.tree.map_structure(lambda tensor: new[id(tensor)], outputs)
        self._models[id(model)] = like_it(model, again, outputs)
        return self._models[id(model)]

    def _call(self, graph: _Graph, node: Any, new: dict[int, Any]) -> None:
        name, made = node.operation.name, self._in_place(graph.placement, node)
        bare = isinstance(made, Compressed) and made.bare
        is_end = any(map(graph.is_end, node.outputs))
        if is_end and not bare:
            made.name = name + BEFORE
        args, kwargs = node.fill_in(new)
        outputs = keras.tree.flatten(made(*args, **kwargs))
        if bare:
            outputs = [self._activated(node.operation, outputs[0], is_end)]
        for old, given in zip(node.outputs, outputs):
            own = name if graph.is_end(old) else f"{name}_range"
            new[id(old)] = self._rounded(graph, old, given, own)

    def _in_place(self, placement: Placement, node: Any) -> Any:
        operation = node.operation
        if is_graph(operation):
            return self._model(operation)
        made = self._made.get(id(operation))
        if made is None:
            return self._once(id(operation), lambda: _keras.shallow_copy(operation))
        if type(made) in _AFFINE:
            folded = placement.folding(node)
            if folded or _is_last(made):
                kind = FoldedNorm if folded else Affine
                return self._once(id(operation), lambda: kind(made))
        if placement.averages_map(operation):
            return self._once(id(operation), lambda: MapMean(made))
        return made

    def _activated(self, layer: Any, linear: Any, is_end: bool) -> Any:
        """Computes the activation of a layer that has been called without it."""
        shown, key, calls = seen_through(layer), (id(layer), "linear"), self._calls[id(layer)]
        before = self._ranged(key, linear, calls, lambda: f"{layer.name}_linear_range")
        how = {"name": layer.name, "activity_regularizer": shown.activity_regularizer}
        activation = self._once(
            (id(layer), "activation"),
            lambda: RoundedActivation(L.Activation(shown.activation, **how), belongs=True),
        )
        if is_end:
            activation.name = layer.name + BEFORE
        return activation(before)

    def _rounded(self, graph: _Graph, old: Any, tensor: Any, name: str) -> Any:
        found = graph.placement.range_of(old)
        if found is None:
            return tensor
        kind, what = found
        if kind == "fixed":
            return FixedRange(*what, name=graph.named(name))(tensor)
        calls = graph.placement.calls(what) * graph.passes
        return self._ranged(what, tensor, calls, lambda: graph.named(name))

    def _ranged(self, key: Any, tensor: Any, calls: int, name: Callable[[], str]) -> Any:
        """Rounds one of the tensors of a range, which is made for the first of them."""
        layer = self._once((key, "range"), lambda: ActivationRange(calls, name=name()))
        self._places[key] += 1
        return layer(tensor, place=self._places[key] - 1) if calls > 1 else layer(tensor)

    def _once(self, key: Any, make: Any) -> Any:
        if key not in self._extra:
            self._extra[key] = make()
        return self._extra[key]


def _is_last(layer: keras.layers.Layer) -> bool:
    """Whether a normalization has a number for each channel of the last axis, or for all."""
    shape = layer.get_build_config()["input_shape"]
    last = (-1, len(shape) - 1)
    if isinstance(layer, L.Normalization):
        return all(axis in last for axis in layer.axis)
    return not isinstance(layer, L.BatchNormalization) or layer.axis in last
