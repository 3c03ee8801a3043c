"""Samples for calibration and verification, from whatever they are kept in."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_kd._errors import wrong
from keras_kd.export.student.signature import Signature
from keras_kd.runtimes.batching import Arrays
from keras_kd.teachers import batch as batches

__all__ = ["MOST_CALIBRATION_SAMPLES", "count", "read"]

MOST_CALIBRATION_SAMPLES = 1000


def read(signature: Signature, data: Any, what: str, most: int | None = None) -> tuple[Arrays, Any]:
    """Returns the samples by input name, and what came beside them as `y`.

    Args:
        signature: What the samples must fit.
        data: Arrays (see `tensors.by_name`), a tuple `(x, y)` of them, or a stream of batches or
            single samples, each `x`, `(x, y)` or `(x, y, sample_weight)`: a tf.data or Keras
            dataset, a generator, or a function that returns one. `x` may carry a teacher's answers.
        what: The argument's name, for errors.
        most: Samples after which a stream is left; `None` reads it to its end.

    Returns:
        The arrays by input name, and `y` in its own structure or `None`.

    Raises:
        ValueError: If the data do not fit the model's inputs, or never end.
        TypeError: If they are not numeric.
    """
    if not _is_stream(data):
        x, y = _pair(data)
        return signature.arrays(_listed(x), what), y
    parts, labels, read_so_far = [], [], 0
    for element in _elements(data, what, most):
        arrays, y = _batch(signature, element, what)
        parts.append(arrays)
        labels.append(y)
        read_so_far += count(arrays)
        if most is not None and read_so_far >= most:
            break
    if not parts:
        mend = "Make a new generator, if it has been read before"
        raise wrong(what, "hold at least one sample", data, mend=mend)
    joined = {name: np.concatenate([part[name] for part in parts])[:most] for name in parts[0]}
    y = None if any(y is None for y in labels) else keras.tree.map_structure(_joined, *labels)
    return signature.arrays(joined, what), y


def count(arrays: Arrays) -> int:
    """Returns how many samples arrays hold."""
    return len(next(iter(arrays.values())))


def _is_stream(data: Any) -> bool:
    if isinstance(data, np.ndarray | Mapping | list | tuple | str) or hasattr(data, "__array__"):
        return False
    return callable(data) or hasattr(data, "__iter__") or isinstance(data, keras.utils.PyDataset)


def _elements(data: Any, what: str, most: int | None) -> Iterator[Any]:
    if isinstance(data, keras.utils.PyDataset):
        return (data[batch] for batch in range(data.num_batches))
    data = data() if callable(data) else data
    endless = getattr(data, "cardinality", int)() == -1  # tf.data.INFINITE_CARDINALITY
    if endless and most is None:
        raise wrong(what, "have an end", data, mend="Pass dataset.take(batches)")
    return iter(data)


def _pair(element: Any) -> tuple[Any, Any]:
    """Tells `x` from `y` as Keras does: a tuple holds both, a list holds the inputs."""
    if not isinstance(element, tuple):
        return batches.inputs(element), None
    x, y = (*element, None)[:2] if element else (element, None)
    return batches.inputs(x), y


def _batch(signature: Signature, element: Any, what: str) -> tuple[Arrays, Any]:
    x, y = _pair(element)
    x = _listed(x)
    if _is_single(signature, x):
        x = keras.tree.map_structure(_alone, x)
        y = y if y is None else keras.tree.map_structure(_alone, y)
    return signature.arrays(x, what), y


def _is_single(signature: Signature, x: Any) -> bool:
    """Whether `x` is a sample, not a batch."""
    ranks = {tensor.name: len(tensor.shape) for tensor in signature.inputs}
    if isinstance(x, Mapping):
        pairs = [(part, ranks.get(name)) for name, part in signature.renamed(x).items()]
    else:
        pairs = list(zip(keras.tree.flatten(x), ranks.values()))
    return bool(pairs) and all(rank and np.ndim(part) == rank - 1 for part, rank in pairs)


def _listed(x: Any) -> Any:
    return list(x) if isinstance(x, tuple) else x


def _alone(part: Any) -> np.ndarray:
    return np.asarray(part)[None]


def _joined(*parts: Any) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts])
