"""Which layers of a student come first after its inputs, and which last before its outputs."""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.compression.rebuilding import is_graph

__all__ = ["at_ends"]

_Layers = frozenset[int]


def at_ends(model: keras.Model, counts: Callable[[Any], bool]) -> set[int]:
    """Returns the identities of the layers that no other stands before, or after.

    Args:
        model: A model, in which nested models are looked into.
        counts: Whether a layer is one of those that are asked about.
    """
    first: set[int] = set()
    followed: set[int] = set()
    every: set[int] = set()

    def passed(model: keras.Model, before: Iterable[_Layers]) -> list[_Layers]:
        """Returns the layers nearest before each output, from those before each input."""
        inputs, outputs = map(keras.tree.flatten, _keras.graph(model))
        nearest = dict(zip(map(id, inputs), before))
        for node in _keras.nodes(outputs):
            if not node.input_tensors:
                continue
            given = [nearest[id(tensor)] for tensor in node.input_tensors]
            operation = node.operation
            if is_graph(operation):
                after = passed(operation, given)
            else:
                near = frozenset().union(*given)
                if counts(operation):
                    every.add(id(operation))
                    followed.update(near)
                    first.update([id(operation)] * (not near))
                    near = frozenset([id(operation)])
                after = [near] * len(node.outputs)
            nearest.update(zip(map(id, node.outputs), after))
        return [nearest[id(tensor)] for tensor in outputs]

    passed(model, [frozenset() for _ in keras.tree.flatten(_keras.graph(model)[0])])
    return first | (every - followed)
