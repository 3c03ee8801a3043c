"""What the endpoint `serve` of a student takes and gives, by name."""

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import refusal
from keras_kd.export.student import outputs
from keras_kd.networks.tapped_graph import stood_for
from keras_kd.runtimes.batching import Arrays, in_batches
from keras_kd.runtimes.tensors import TensorInfo, by_name

__all__ = ["Signature"]


@dataclass(frozen=True)
class Signature:
    """The inputs of a student: their names, shapes and dtypes, and the structure they come in.

    Args:
        student: The model that the endpoint runs.
        inputs: One entry for each of `student.inputs`, in that order.
        batch_size: Samples in one call; `None` for any number.
    """

    student: keras.Model
    inputs: tuple[TensorInfo, ...]
    batch_size: int | None

    @classmethod
    def of(cls, student: keras.Model, batch_size: int | None) -> "Signature":
        """Reads the signature off the model's symbolic inputs."""
        names = _names(student)
        inputs = tuple(
            TensorInfo(_argument_name(name), (batch_size, *x.shape[1:]), x.dtype)
            for name, x in zip(names, student.inputs)
        )
        _check_names([tensor.name for tensor in inputs], names)
        return cls(student, inputs, batch_size)

    def structured(self, flat: list[Any]) -> Any:
        """Packs one thing for each input into the structure that the model is called with."""
        if isinstance(self.student, keras.Sequential):
            return flat[0]
        return keras.tree.pack_sequence_as(self.student.input, flat)

    def arrays(self, data: Any, what: str) -> Arrays:
        """Checks `data` against the inputs and returns it by name, see `tensors.by_name`."""
        return by_name(self.renamed(data) if isinstance(data, Mapping) else data, self.inputs, what)

    def renamed(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Brings a dict by Keras' names, or by the keys of the model's dict, to the file's."""
        known = {x.name: tensor.name for x, tensor in zip(self.student.inputs, self.inputs)}
        keys = dict(zip(_names(self.student), (tensor.name for tensor in self.inputs)))
        return {{**known, **keys}.get(name, name): part for name, part in data.items()}

    def generated(self, samples: int) -> Arrays:
        """Returns seeded inputs: normal floats, bytes over their range, other integers 0 or 1.

        Token ids reach over the vocabulary of the Embedding that takes them, where the graph shows
        it.

        Raises:
            ValueError: If an input has a dimension of unknown size.
        """
        if any(None in tensor.shape[1:] for tensor in self.inputs):
            raise refusal(
                "verify must be given for a model whose inputs have dimensions of any size",
                expected="samples of the sizes in use",
                received=f"None for inputs of shape {[t.shape for t in self.inputs]}",
                mend="Pass verify=samples",
            )
        random = np.random.default_rng(0)
        limits = _vocabularies(self.student)
        return {
            t.name: _random(random, (samples, *t.shape[1:]), t.dtype, limits.get(id(x), 2))
            for t, x in zip(self.inputs, self.student.inputs)
        }

    def call(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Runs the student in inference mode on one batch and names its outputs."""
        flat = [arrays[tensor.name] for tensor in self.inputs]
        return outputs.by_name(self.student, self.student(self.structured(flat), training=False))

    def predict(self, arrays: Arrays) -> Arrays:
        """Returns the student's own answers for all samples."""

        def call(batch: Arrays) -> Arrays:
            named = self.call(batch)
            return {name: keras.ops.convert_to_numpy(value) for name, value in named.items()}

        fixed = self.student.inputs[0].shape[0] is not None
        return in_batches(call, arrays, self.batch_size if fixed else None)


def _check_names(names: list[str], original: list[str]) -> None:
    if len(set(names)) < len(names) or any(map(keyword.iskeyword, names)) or "self" in names:
        raise refusal(
            "The model's inputs must have names that tell them apart in a file",
            expected="distinct names of letters, digits and _, other than Python's own words",
            received=original,
            mend="Name them in keras.Input(..., name=...)",
        )


def _argument_name(name: str) -> str:
    """Spells an input's name as TensorFlow would: it mends odd characters, then trips over them."""
    clean = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return clean if clean[:1].isalpha() else f"input_{clean.lstrip('_')}"


def _names(student: keras.Model) -> list[str]:
    """Names the inputs by the keys of a dict, else as Keras does."""
    structure = None if isinstance(student, keras.Sequential) else student.input
    keys = {}
    if isinstance(structure, Mapping):
        keys = {id(x): str(key) for key, x in structure.items()}
    return [keys.get(id(x), x.name) for x in student.inputs]


def _vocabularies(student: keras.Model) -> dict[int, int]:
    """Returns the number of ids that each input's Embedding knows, by the tensor's `id`."""
    found: dict[int, int] = {}
    graph = _keras.graph(student)
    for node in _keras.nodes(keras.tree.flatten(graph[1])) if graph else ():
        layer = stood_for(node.operation)
        if isinstance(layer, keras.layers.Embedding):
            for x in node.input_tensors:
                found[id(x)] = min(layer.input_dim, found.get(id(x), layer.input_dim))
    return found


def _random(
    random: np.random.Generator, shape: tuple[int, ...], dtype: str, limit: int
) -> np.ndarray:
    if limit == 2 and dtype in ("uint8", "int8"):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    if np.dtype(dtype).kind in "iub":
        return random.integers(0, limit, shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)
