"""Raw data in memory, strings among them, as batches for a preprocessor."""

import math
from typing import Any

import keras
import numpy as np

from keras_kd._errors import check_lengths, refusal, wrong
from keras_kd._pipelines import untuned

__all__ = ["batched", "split"]

_KERAS_BATCH_SIZE = 32


def batched(
    x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: bool, lists: bool
) -> Any:
    """Returns a `tf.data.Dataset` of batches `(x, y, sample_weight)`.

    Args:
        x: Arrays, tensors or lists; tuples and dicts of these are several inputs.
        y: Labels, or `None`.
        sample_weight: Weights, or `None`.
        batch_size: Examples in a batch, 32 by default.
        shuffle: Whether each pass has an order of its own.
        lists: Whether a list of arrays in `x` is several inputs, as for Keras; KerasHub takes any
            list for one input.

    Raises:
        TypeError: If `x` is a generator or another source of batches.
        ValueError: If the parts do not have equally many examples, at least one.
    """
    import tensorflow as tf

    columns = (_tensors(x, lists), _tensors(y), _tensors(sample_weight))
    count = _count(columns)

    def taken(ids: Any) -> Any:
        return _mapped(lambda leaf: tf.gather(leaf, ids), columns)

    ids = tf.data.Dataset.range(count)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    ids = (ids.shuffle(count) if shuffle else ids).with_options(options)
    batches = ids.batch(batch_size or _KERAS_BATCH_SIZE)
    return untuned(batches.map(taken, num_parallel_calls=-1))


def split(parts: tuple, share: float, lists: bool) -> tuple[tuple, tuple]:
    """Returns `(x, y, sample_weight)` of the first examples, and of the last `share` of them."""
    columns = (_tensors(parts[0], lists), *map(_tensors, parts[1:]))
    count = _count(columns)
    at = math.floor(count * (1.0 - share))
    if not 0 < at < count:
        expected, mend = f"a share of {count} examples", "Pass validation_data, or another share"
        rule = "leave examples on both sides"
        raise wrong("validation_split", rule, share, expected=expected, mend=mend)
    return (
        _mapped(lambda leaf: leaf[:at], columns),
        _mapped(lambda leaf: leaf[at:], columns),
    )


def _mapped(function: Any, columns: Any) -> Any:
    if isinstance(columns, tuple):
        return tuple(_mapped(function, part) for part in columns)
    if isinstance(columns, dict):
        return {key: _mapped(function, part) for key, part in columns.items()}
    return None if columns is None else function(columns)


def _tensors(data: Any, lists: bool = True) -> Any:
    import tensorflow as tf

    if data is None or tf.is_tensor(data):  # ragged ones, too
        return data
    if isinstance(data, dict):
        return {key: _tensors(part, lists) for key, part in data.items()}
    several = lists and isinstance(data, list) and all(getattr(d, "shape", ()) for d in data)
    if several or isinstance(data, tuple):
        return tuple(_tensors(part, lists) for part in data)
    if not (isinstance(data, list) or hasattr(data, "__array__")):
        raise refusal(
            "x must be data that a preprocessor can be mapped over",
            expected="arrays, lists of strings, or a tf.data.Dataset of batches",
            received=type(data).__name__,
            mend="Make a tf.data.Dataset of it, or preprocess it and set task.preprocessor = None",
            error=TypeError,
        )
    if keras.ops.is_tensor(data):
        data = keras.ops.convert_to_numpy(data)
    values = np.asarray(data)
    narrow = values.dtype == "float64"  # as Keras does with arrays
    return tf.convert_to_tensor(values.astype(keras.config.floatx()) if narrow else values)


def _count(columns: Any) -> int:
    sizes: list[int] = []
    _mapped(lambda leaf: sizes.append(_size(leaf)), columns)
    return check_lengths("x, y and sample_weight", sizes, "Pass one row for each sample")


def _size(leaf: Any) -> int:
    if leaf.shape.rank == 0:
        raise refusal(
            "x must hold a batch of examples, e.g. a list of strings",
            received="a single value",
            mend="Wrap it in a list",
        )
    return int(leaf.shape[0])
