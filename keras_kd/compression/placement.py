"""Where the file rounds: which tensors of a graph need a range, and which share one."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.compression.compressed import Compressed
from keras_kd.compression.operations import (
    L,
    activation_of,
    averages_map,
    keeps_values,
    name_of,
)
from keras_kd.compression.quantized_layers import Quantized
from keras_kd.compression.ranges import FIXED
from keras_kd.compression.rebuilding import is_graph
from keras_kd.networks.stand_ins import seen_through

__all__ = ["Placement", "folds"]

_POOLS = (L.AveragePooling1D, L.AveragePooling2D)
_SUMS = (L.Add, L.Subtract, L.Average, L.Maximum, L.Minimum)
_SUM_FUNCTIONS = ("Add", "Subtract", "Maximum", "Minimum")
# Layers whose channels have one range.
_ONE_RANGE = (L.Dense, L.Conv1D, L.Conv2DTranspose)
# What computes an activation on the way out.
_FUSING = (L.Dense, L.Conv1D, L.Conv2D, L.DepthwiseConv2D, L.SeparableConv1D, L.SeparableConv2D)
_FUSING += (L.EinsumDense, L.Add, L.Subtract, L.Multiply, L.BatchNormalization)
_FUSING_FUNCTIONS = ("Add", "Subtract", "Multiply")


def folds(convolution: Any, norm: Any) -> bool:
    """Whether the file folds a BatchNormalization into the convolution before it."""
    layer = seen_through(convolution)
    if not isinstance(norm, L.BatchNormalization) or not isinstance(convolution, Compressed):
        return False
    if layer.activation is not keras.activations.linear or convolution.bare:
        return False
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return False
    if norm.axis not in (-1, len(norm.get_build_config()["input_shape"]) - 1):
        return False
    if type(layer) in _ONE_RANGE:  # of which a norm's factor would make equal weights differ
        return all(each.method != "cluster" for each in convolution.transforms)
    single = getattr(layer, "depth_multiplier", 1) == 1
    return type(layer) in (L.Conv2D, L.DepthwiseConv2D) and single


class Placement:
    """The ranges of one graph.

    Args:
        graph: The symbolic inputs and outputs of a model.
        quantized: From an operation of the graph to the one in its place.
        is_called_once: Whether nothing but one place of the graph calls an operation.
        is_outermost: Whether the inputs come from outside, and no nested model around gives them.
    """

    def __init__(
        self,
        graph: tuple[Any, Any],
        quantized: Callable[[Any], Any],
        is_called_once: Callable[[Any], bool],
        is_outermost: bool,
    ):
        self._nodes = _keras.nodes(keras.tree.flatten(graph[1]))
        self._outputs = {id(tensor) for tensor in keras.tree.flatten(graph[1])}
        self._quantized, self._is_called_once = quantized, is_called_once
        self._consumers: dict[int, list[Any]] = {}
        for node in self._nodes:
            for tensor in node.input_tensors:
                self._consumers.setdefault(id(tensor), []).append(node)
        self._group: dict[int, int] = {}
        self._kind: dict[int, Any] = {}
        self._is_outermost = is_outermost
        for node in self._nodes:
            for tensor in node.outputs:
                self._kind[id(tensor)] = self._of(node, tensor)
        for node in self._nodes:
            self._tie(node)

    def range_of(self, tensor: Any) -> tuple[str, Any] | None:
        """Returns what rounds a tensor after its operation, `None` for nothing.

        `("group", key)` is a range that moves, `("fixed", (low, high))` one that does not.
        """
        kind = self._kind[id(tensor)]
        if kind == "moving":
            return "group", self._root(id(tensor))
        return ("fixed", FIXED[kind[1]]) if isinstance(kind, tuple) else None

    def calls(self, key: int) -> int:
        """Returns how many tensors share a range."""
        moving = (each for each, kind in self._kind.items() if kind == "moving")
        return sum(self._root(each) == key for each in moving)

    def folding(self, node: Any) -> bool:
        """Whether the file folds a call of a BatchNormalization into the convolution before."""
        source, _, _ = _keras.origin(node.input_tensors[0])
        alone = len(self._consumers[id(node.input_tensors[0])]) == 1
        is_output = id(node.input_tensors[0]) in self._outputs
        once = self._is_called_once(source) and self._is_called_once(node.operation)
        new = self._quantized(source)
        return alone and once and not is_output and folds(new, node.operation)

    def averages_map(self, operation: Any) -> bool:
        """Whether an operation takes the average of a whole map, in one of its calls at least."""
        calls = (node for node in self._nodes if node.operation is operation)
        return any(averages_map(operation, node.input_tensors[0].shape) for node in calls)

    def _of(self, node: Any, tensor: Any) -> Any:
        operation = node.operation
        if "float" not in tensor.dtype or is_graph(operation):
            return None
        if not node.input_tensors:
            return "moving" if self._is_outermost else None
        if self._keeps_values(operation):
            return None
        layer = seen_through(operation)
        name = activation_of(operation) or name_of(getattr(layer, "activation", None))
        if name in FIXED:
            return ("fixed", name)
        if id(tensor) not in self._outputs and self._next_computes_on(node, tensor):
            return None
        return "moving"

    def _keeps_values(self, operation: Any) -> bool:
        """Whether what an operation is given has the range of what it gives."""
        if isinstance(seen_through(operation), L.Embedding):  # unless it is left in float
            return isinstance(self._quantized(operation), Quantized)
        return keeps_values(operation)

    def _next_computes_on(self, node: Any, tensor: Any) -> bool:
        """Whether what comes next belongs to the same kernel: a norm, or an activation."""
        consumers = self._consumers.get(id(tensor), [])
        if len(consumers) != 1:
            return False
        following = consumers[0]
        if isinstance(following.operation, L.BatchNormalization):
            return self.folding(following)
        layer, name = seen_through(node.operation), type(node.operation).__name__
        if isinstance(layer, L.BatchNormalization) and self.folding(node):
            layer = seen_through(_keras.origin(node.input_tensors[0])[0])
        fusing = isinstance(layer, _FUSING) or (
            not isinstance(layer, keras.layers.Layer) and name in _FUSING_FUNCTIONS
        )
        inner = getattr(layer, "activation", None)
        fusing = fusing and (inner is None or inner is keras.activations.linear)
        return fusing and activation_of(following.operation) in ("relu", "relu6")

    def _tie(self, node: Any) -> None:
        layer, name = seen_through(node.operation), type(node.operation).__name__
        sources = [self._source(tensor) for tensor in node.input_tensors]
        if isinstance(layer, L.Concatenate) or name == "Concatenate":
            self._join([*sources, id(node.outputs[0])])
        elif isinstance(layer, _POOLS) and not averages_map(layer, node.input_tensors[0].shape):
            self._join([sources[0], id(node.outputs[0])])
        elif isinstance(layer, _SUMS) or (len(sources) > 1 and name in _SUM_FUNCTIONS):
            self._join(sources)

    def _source(self, tensor: Any) -> int:
        """Returns the tensor whose range holds for this one."""
        operation, node, _ = _keras.origin(tensor)
        if node.input_tensors and self._keeps_values(operation):
            return self._source(node.input_tensors[0])
        return id(tensor)

    def _join(self, tensors: Iterable[int]) -> None:
        first, *others = [each for each in tensors if self._kind.get(each) == "moving"] or [0]
        for other in others:
            self._group[self._root(other)] = self._root(first)

    def _root(self, key: int) -> int:
        while (up := self._group.get(key, key)) != key:
            key = up
        return key
