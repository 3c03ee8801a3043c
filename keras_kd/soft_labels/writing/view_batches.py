"""All views of all samples, in the order in which the teacher is asked."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_kd._pipelines import untuned
from keras_kd.soft_labels.views import rows
from keras_kd.soft_labels.views.replay import Replay, check_bytes, check_bytes_of_arrays
from keras_kd.soft_labels.views.sources import Arrays, Stream

__all__ = ["batches_to_ask", "can_be_sliced", "slices_to_ask"]


def batches_to_ask(
    replay: Replay, data: Arrays | Stream, spans: list[range], batch_size: int
) -> Any:
    """Returns a dataset of batches `(ids, views, images, check bytes)`.

    Samples come in order, and the views of each in order.

    Args:
        replay: The views.
        data: The source of the samples.
        spans: Consecutive ranges of ids; no batch reaches over the end of one.
        batch_size: Rows in a batch, at most.
    """
    of = _of_arrays if isinstance(data, Arrays) else _of_stream

    def shown(batch: dict[str, Any]) -> tuple:
        images, _ = replay.pixels(*rows.to_show(batch))
        return batch["ids"], batch["views"], images, check_bytes(images)

    dataset = of(replay, data, spans, batch_size)
    return untuned(dataset.map(shown, num_parallel_calls=-1).prefetch(-1))


def can_be_sliced(replay: Replay, data: Arrays | Stream) -> bool:
    """Whether batches are parts of the data as they are, which no pipeline need make."""
    return (
        isinstance(data, Arrays)
        and not replay.augmentation.stages
        and all(leaf.dtype.kind in "biuf" for leaf in keras.tree.flatten(data.x))
    )


def slices_to_ask(data: Arrays, spans: list[range], batch_size: int) -> Iterator[tuple]:
    """Gives what `batches_to_ask` does, of one view, without copies.

    Building a pipeline takes as long as asking a small teacher about a thousand samples.

    Args:
        data: The source of the samples.
        spans: Consecutive ranges of ids; no batch reaches over the end of one.
        batch_size: Rows in a batch, at most.
    """
    for start, stop in zip(*_cuts(spans, 1, batch_size)):
        ids = np.arange(start, stop)
        images = data.take(slice(start, stop))
        yield ids, np.zeros_like(ids), images, check_bytes_of_arrays(images)


def _cuts(spans: list[range], views: int, batch_size: int) -> tuple[list[int], list[int]]:
    """Returns where batches start and stop, counted in views."""
    starts, stops = [], []
    for span in spans:
        first, last = span.start * views, span.stop * views
        starts += range(first, last, batch_size)
        stops += [*range(first + batch_size, last, batch_size), last]
    return starts, stops


def _of_arrays(replay: Replay, data: Arrays, spans: list[range], batch_size: int) -> Any:
    import tensorflow as tf

    starts, stops = _cuts(spans, replay.views, batch_size)

    def load(start: int, stop: int) -> dict[str, Any]:
        ids, views = np.divmod(np.arange(start, stop), replay.views)
        return rows.taken(replay, data, ids, views)

    slices = tf.data.Dataset.from_tensor_slices((np.int64(starts), np.int64(stops)))
    return slices.map(rows.on_host(load, load(0, 1)), num_parallel_calls=-1)


def _of_stream(replay: Replay, data: Stream, spans: list[range], batch_size: int) -> Any:
    import tensorflow as tf

    first, last = spans[0].start, spans[-1].stop
    size = rows.chunk_size(replay, data)

    def plan(start: int, stop: int, offset: int) -> dict[str, Any]:
        local, views = np.divmod(np.arange(start, stop), replay.views)
        return rows.drawn(replay, offset + local, views)

    planned = rows.on_host(plan, plan(0, 1, 0))

    def of_chunk(number: Any, chunk: Any) -> Any:
        offset = first + number * size
        count = tf.shape(keras.tree.flatten(chunk)[0], tf.int64)[0] * replay.views
        starts = tf.data.Dataset.range(0, count, batch_size)

        def batch(start: Any) -> dict[str, Any]:
            stop = tf.minimum(start + batch_size, count)
            return rows.with_samples(planned(start, stop, offset), chunk, offset)

        return starts.map(batch)

    chunks = data.inputs.skip(first).take(last - first).batch(size)
    return chunks.enumerate().flat_map(of_chunk)
