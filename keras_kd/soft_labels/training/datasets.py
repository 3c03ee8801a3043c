"""Datasets that show students what the teacher was shown, beside what it answered."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_kd._errors import refusal
from keras_kd._pipelines import untuned
from keras_kd.networks.heads import Head
from keras_kd.soft_labels.augmentation import draws
from keras_kd.soft_labels.storage.records import CHECK
from keras_kd.soft_labels.training.epochs import Epochs
from keras_kd.soft_labels.training.mixed_labels import LabelMixer
from keras_kd.soft_labels.training.read_ahead import ReadAhead
from keras_kd.soft_labels.training.read_on import ReadOn
from keras_kd.soft_labels.views import rows
from keras_kd.soft_labels.views.replay import Replay, check_bytes, shown
from keras_kd.soft_labels.views.sources import Arrays, Stream
from keras_kd.teachers import batch as batches

__all__ = ["Training", "not_replayed"]

_NOT_REPLAYED = "The pixels must be those that the teacher was shown"
_OTHER_COUNT = "The dataset must have the samples that the labels were written for"

_numbers = itertools.count(1)  # of passes, of whatever dataset


def not_replayed(error: Exception) -> ValueError | None:
    """Returns what a step's error says of pixels and samples, `None` for other errors."""
    if _OTHER_COUNT in str(error):
        return ValueError(re.search(rf"{_OTHER_COUNT}.*", str(error))[0])
    # TensorFlow's asserts carry nothing but text.
    found = re.search(rf"\[{_NOT_REPLAYED}\] \[(\d+)\]", str(error))
    return found and refusal(
        _NOT_REPLAYED,
        expected="the data that SoftLabels.write was given, a dataset in the same order",
        received=f"other pixels for sample {found[1]}, or another order",
        mend="Shuffle after soft.attach(dataset), not before; else write the labels again",
    )


class Training:
    """Makes datasets of views and answers.

    Args:
        replay: The views.
        answers: Returns the stored values by field, of ids and views.
        check: Whether the pixels of each row are compared with those that the teacher was shown.
        views_per_step: How many views of a sample a pass shows, one after the other.
        heads: The teacher's heads, to whose outputs labels belong.
    """

    def __init__(
        self,
        replay: Replay,
        answers: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
        *,
        check: bool,
        views_per_step: int,
        heads: dict[str, Head],
    ):
        self._replay, self._answers = replay, answers
        self._check, self._times, self._heads = check, views_per_step, heads

    def of_arrays(
        self,
        data: Arrays,
        labels: dict[str, Any],
        epochs: Epochs,
        *,
        batch_size: int,
        shuffle: int | None,
        drop_remainder: bool,
    ) -> Any:
        """Returns a dataset of batches.

        Args:
            data: The samples.
            labels: Arrays under the keys `"y"` and `"sample_weight"`, where there are any.
            epochs: Says which epoch a pass shows.
            batch_size: Rows in a batch.
            shuffle: Seed of the orders, or `None` for the data's own.
            drop_remainder: Whether a last batch of fewer rows is left out.
        """
        import tensorflow as tf

        mixer = None
        if self._replay.augmentation.mixes and "y" in labels:
            mixer = LabelMixer(self._heads, keras.tree.map_structure(lambda y: y[0], labels["y"]))
            mixer.check(labels["y"])

        samples = batch_size // self._times

        def load(epoch: int, index: int) -> dict[str, Any]:
            ids = np.arange(index * samples, min((index + 1) * samples, data.samples))
            if shuffle is not None:
                key = int(draws.hashed(shuffle, epoch)[0])
                ids = draws.permuted(ids, data.samples, key)
            ids, views = shown(ids, self._replay.views, epoch, self._times)
            batch = rows.taken(self._replay, data, ids, views)
            batch |= _taken(labels, ids)
            if mixer:
                batch["partner_y"] = _taken({"y": labels["y"]}, batch["partners"])["y"]
            return batch | {"answers": self._answers(ids, views)}

        loaded = rows.on_host(load, load(0, 0))

        def batch(epoch: Any, index: Any) -> Any:
            return self._element(loaded(epoch, index), mixer)

        passes = _passes(ReadAhead(batch, epochs.batches), epochs, epochs.batches)
        if epochs.batches == 1:
            passes = passes.take_while(lambda *batch: tf.shape(tf.nest.flatten(batch)[0])[0] > 0)
        return _finished(passes, epochs.batches)

    def of_stream(self, data: Stream, epochs: Epochs) -> Any:
        """Returns a dataset of single rows, in the order of the stream."""
        import tensorflow as tf

        size = rows.chunk_size(self._replay, data)
        _, specs, _ = keras.utils.unpack_x_y_sample_weight(data.dataset.element_spec)
        mixes = self._replay.augmentation.mixes and specs is not None
        mixer = LabelMixer(self._heads, specs) if mixes else None

        def plan(first: int, count: int, epoch: int) -> dict[str, Any]:
            ids, views = shown(first + np.arange(count), self._replay.views, epoch, self._times)
            planned = rows.drawn(self._replay, ids, views)
            return planned | {"answers": self._answers(ids, views)}

        def counted(first: int, count: int, epoch: int) -> dict[str, Any]:
            _check_count(first + count, self._replay.samples, last=count < size)
            return plan(first, count, epoch)

        planned = rows.on_host(counted, plan(0, 1, 0))

        def one_pass(epoch: Any) -> Any:
            def batch(number: Any, chunk: Any) -> Any:
                x, y, weight = keras.utils.unpack_x_y_sample_weight(chunk)
                count = tf.shape(keras.tree.flatten(x)[0], tf.int64)[0]
                first = number * size
                batch = rows.with_samples(planned(first, count, epoch), x, first)
                if y is not None:
                    batch["y"] = rows.picked(y, batch["ids"] - first)
                    if "partners" in batch:
                        batch["partner_y"] = rows.picked(y, batch["partners"] - first)
                if weight is not None:
                    batch["sample_weight"] = rows.picked(weight, batch["ids"] - first)
                return self._element(batch, mixer)

            chunks = _to_the_end(data.dataset.batch(size), size, self._replay.samples)
            return chunks.map(batch, num_parallel_calls=-1)

        # One piece more, whose end says whether there are other samples.
        pieces = -(-self._replay.samples // size) + 1
        passes = _passes(ReadOn(one_pass), epochs, pieces).unbatch()
        return _finished(passes, self._replay.samples * self._times)

    def _element(self, batch: dict[str, Any], mixer: LabelMixer | None) -> tuple:
        """Returns what `fit` takes."""
        import tensorflow as tf

        images, share = self._replay.pixels(*rows.to_show(batch))
        answers = dict(batch["answers"])
        expected = answers.pop(CHECK)
        if self._check:
            others = check_bytes(images) != expected
            first = batch["ids"][tf.argmax(others)]
            same = tf.debugging.Assert(~tf.reduce_any(others), [_NOT_REPLAYED, first])
            with tf.control_dependencies([same]):
                images = tf.nest.map_structure(tf.identity, images)
        element = (batches.with_answers(images, answers),)
        if "y" not in batch:
            return element
        y = batch["y"]
        if share is not None:
            y = mixer(y, batch["partner_y"], share)
        weight = (batch["sample_weight"],) if "sample_weight" in batch else ()
        return (*element, y, *weight)


def _passes(reader: ReadAhead | ReadOn, epochs: Epochs, pieces: int) -> Any:
    """Returns a dataset whose every pass shows the epoch that is due, piece by piece.

    A piece is a batch, or some rows of a stream. Beyond the last of them come empty ones: that
    somebody asks for them says that a pass of one piece is over.
    """
    import tensorflow as tf

    specs = tf.nest.flatten(reader.element_spec, expand_composites=True)

    def step(
        epoch: np.ndarray, times_set: np.ndarray, number: np.ndarray, index: np.ndarray
    ) -> list:
        if index == 0:
            epoch, times_set, number = *epochs.start(), next(_numbers)
        if index == 1:
            epochs.advance(epoch, times_set)
        piece = reader.read(int(number), int(epoch), int(index)) if index < pieces else None
        state = map(np.int64, (epoch, times_set, number))
        return [*state, *(map(_blank, specs) if piece is None else piece)]

    def shown(state: tuple, index: Any) -> tuple:
        types = [*[tf.int64] * len(state), *(spec.dtype for spec in specs)]
        leaves = tf.numpy_function(step, [*state, index], types)
        for leaf, spec in zip(leaves, [*state, *specs]):
            leaf.set_shape(spec.shape)
        state, leaves = tuple(leaves[: len(state)]), leaves[len(state) :]
        structure = reader.element_spec
        return state, tf.nest.pack_sequence_as(structure, leaves, expand_composites=True)

    nothing = (np.int64(0),) * 3
    return untuned(tf.data.Dataset.range(max(pieces, 2)).scan(nothing, shown))


def _blank(spec: Any) -> np.ndarray:
    """Returns a batch without rows."""
    shape = [size or 0 for size in spec.shape] if spec.shape.rank else [0]
    return np.zeros(shape, spec.dtype.as_numpy_dtype)


def _finished(passes: Any, size: int) -> Any:
    import tensorflow as tf

    options = tf.data.Options()
    # A prefetch of TensorFlow's own after the last stage would make a look at one batch a pass.
    options.experimental_optimization.inject_prefetch = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    passes = passes.with_options(options)
    return passes.apply(tf.data.experimental.assert_cardinality(size))


def _taken(arrays: dict[str, Any], ids: np.ndarray) -> dict[str, Any]:
    return keras.tree.map_structure(lambda leaf: leaf[ids], arrays)


def _to_the_end(chunks: Any, size: int, samples: int) -> Any:
    """Returns numbered chunks of a stream, with an error after them where samples are missing."""
    import tensorflow as tf

    def end(first: int) -> np.bool_:
        _check_count(min(first, samples), samples, last=True)  # a shorter chunk may be the last
        return np.bool_(False)

    checked = rows.on_host(end, np.bool_(False))

    def is_chunk(number: Any, chunk: Any) -> Any:
        is_last = tf.equal(tf.size(keras.tree.flatten(chunk)[0]), 0)
        return tf.cond(is_last, lambda: checked(number * size), lambda: True)

    specs = chunks.element_spec
    if not all(isinstance(spec, tf.TensorSpec) for spec in tf.nest.flatten(specs)):
        return chunks.enumerate()  # ragged or sparse: TensorFlow counts the rows
    none = tf.nest.map_structure(
        lambda spec: tf.zeros([0, *(side or 0 for side in spec.shape[1:])], spec.dtype), specs
    )
    return chunks.concatenate(tf.data.Dataset.from_tensors(none)).enumerate().filter(is_chunk)


def _check_count(count: int, samples: int, last: bool) -> None:
    """Raises where a stream has come to more samples than there are answers, or ends before."""
    if count > samples or (last and count < samples):
        raise refusal(
            _OTHER_COUNT,
            expected=f"{samples} samples",
            received="more" if count > samples else f"{count}",
            mend="Pass the dataset of SoftLabels.write, without repeat(), take() or filter()",
        )
