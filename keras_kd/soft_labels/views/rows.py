"""Rows of a batch, each a sample in one view: what is drawn for them, their pixels."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_kd.soft_labels.views.replay import Replay
from keras_kd.soft_labels.views.sources import Arrays, Stream

__all__ = ["chunk_size", "drawn", "on_host", "picked", "taken", "to_show", "with_samples"]

# So many samples of a stream are looked at together where they do not mix.
_CHUNK = 64


def drawn(replay: Replay, ids: np.ndarray, views: np.ndarray) -> dict[str, Any]:
    """Returns rows with all that is drawn for them; their samples come by `with_samples`."""
    plan = replay.plan(ids, views)
    rows = {"ids": ids, "views": views, "seeds": plan.seeds}
    if replay.augmentation.mixes:
        rows |= {"partners": plan.partners, "partner_seeds": plan.partner_seeds}
    return rows


def taken(
    replay: Replay, data: Arrays | Stream, ids: np.ndarray, views: np.ndarray
) -> dict[str, Any]:
    """Returns rows with their samples, read by their ids."""
    rows = drawn(replay, ids, views)
    rows["x"] = data.take(ids)
    if "partners" in rows:
        rows["partner_x"] = data.take(rows["partners"])
    return rows


def with_samples(rows: dict[str, Any], chunk: Any, first: Any) -> dict[str, Any]:
    """Returns the rows with their samples out of a chunk of a stream.

    Args:
        rows: What `drawn` returns, as tensors.
        chunk: Consecutive samples.
        first: The id of the chunk's first sample.
    """
    rows = rows | {"x": picked(chunk, rows["ids"] - first)}
    if "partners" in rows:
        rows["partner_x"] = picked(chunk, rows["partners"] - first)
    return rows


def picked(chunk: Any, places: Any) -> Any:
    """Returns some samples of a chunk."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda leaf: tf.gather(leaf, places), chunk)


def chunk_size(replay: Replay, data: Stream) -> int:
    """Returns how many samples of a stream are looked at together."""
    if replay.augmentation.mixes:
        return replay.pairing
    return _CHUNK if data.fixed else 1


def to_show(rows: dict[str, Any]) -> tuple[Any, ...]:
    """Returns what `Replay.pixels` takes of rows with samples."""
    names = ("x", "seeds", "partner_x", "partner_seeds")
    return tuple(rows[name] for name in names if name in rows)


def on_host(function: Callable, example: Any) -> Callable:
    """Returns a NumPy function as an operation of a graph.

    Args:
        function: Takes scalars or arrays, returns a structure of arrays.
        example: What it returns for one row; the first axes of others may differ.
    """
    import tensorflow as tf

    flat = [np.asarray(leaf) for leaf in keras.tree.flatten(example)]

    def flattened(*args: Any) -> list[np.ndarray]:
        leaves = keras.tree.flatten(function(*args))
        return [np.asarray(leaf, like.dtype) for leaf, like in zip(leaves, flat)]

    def operation(*args: Any) -> Any:
        leaves = tf.numpy_function(flattened, args, [leaf.dtype for leaf in flat])
        for leaf, like in zip(leaves, flat):
            leaf.set_shape((None, *like.shape[1:]) if like.ndim else ())
        return keras.tree.pack_sequence_as(example, leaves)

    return operation
