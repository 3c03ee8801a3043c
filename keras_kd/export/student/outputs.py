"""What a student gives: the names of its outputs in a file, their shapes and their heads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.networks import final_activation, ports

__all__ = ["SINGLE_OUTPUT", "Output", "by_name", "of"]

# The name that Keras' own export gives to a single output: code written for it goes on working.
SINGLE_OUTPUT = "output_0"


@dataclass(frozen=True)
class Output:
    """One output of a student.

    Args:
        name: Its name in the file.
        shape: Its shape, the batch first. `None` stands for any size.
        head: `"logits"`, `"softmax"` or `"sigmoid"`, `None` where the graph does not show it.
        dtype: Its dtype.
    """

    name: str
    shape: tuple[int | None, ...]
    head: str | None
    dtype: str = "float32"

    @property
    def is_whole(self) -> bool:
        """Whether it gives whole numbers or booleans, e.g. class ids."""
        return "int" in self.dtype or self.dtype == "bool"

    @property
    def classes(self) -> int:
        """The size of the last axis, 1 without one."""
        return (self.shape[-1] or 1) if len(self.shape) > 1 else 1


def of(student: keras.Model, heads: Mapping[str, str | None] | None = None) -> list[Output]:
    """Reads the outputs off a model with symbolic inputs.

    Args:
        student: The model.
        heads: Heads that are known from elsewhere, see `student.heads_of`.
    """
    graph = _keras.graph(student)
    if graph is None:
        named = by_name(student, student.compute_output_spec(student.input, training=False))
        found = dict.fromkeys(named)
    else:
        named = by_name(student, graph[1])
        found = {name: final_activation.trace(x).kind for name, x in named.items()}
    if heads and len(found) == 1:
        found = dict(zip(found, heads.values()))
    found.update({name: kind for name, kind in (heads or {}).items() if name in found})
    return [Output(name, tuple(x.shape), found[name], x.dtype) for name, x in named.items()]


def by_name(model: keras.Model, outputs: Any) -> dict[str, Any]:
    """Names what `model` gives: by the keys of a dict, else by its output layers."""
    if isinstance(outputs, Mapping) and not any(map(keras.tree.is_nested, outputs.values())):
        return {str(name): value for name, value in outputs.items()}
    flat = keras.tree.flatten(outputs)
    return dict(zip(ports.output_names(model, len(flat), SINGLE_OUTPUT), flat))
