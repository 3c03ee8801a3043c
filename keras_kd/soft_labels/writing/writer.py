"""Asks the teacher for every view of every sample, once, and stores what it says."""

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_kd._errors import refusal
from keras_kd._pipelines import Held
from keras_kd.soft_labels.storage.layout import Layout
from keras_kd.soft_labels.storage.records import CHECK, Record, record_type
from keras_kd.soft_labels.views import rows
from keras_kd.soft_labels.views.replay import Replay, check_bytes
from keras_kd.soft_labels.views.sources import Arrays, Stream
from keras_kd.soft_labels.writing.view_batches import (
    batches_to_ask,
    can_be_sliced,
    slices_to_ask,
)
from keras_kd.teachers import preprocessors
from keras_kd.teachers.teacher import Teacher

__all__ = ["Batch", "Questions", "write"]


class Batch(NamedTuple):
    """Some views of some samples, as the teacher is asked for them."""

    ids: np.ndarray
    views: np.ndarray
    images: Any
    check: np.ndarray


class Questions:
    """What a teacher is asked, and what it answers.

    Args:
        teacher: Who is asked.
        data: The source of the samples.
        replay: The views.
        batch_size: Rows in a batch, at most.
        temperatures: Those for which several teachers are averaged.
    """

    def __init__(
        self,
        teacher: Teacher,
        data: Arrays | Stream,
        replay: Replay,
        batch_size: int,
        temperatures: Sequence[float] = (),
    ):
        self._temperatures = temperatures
        self._teacher, self.heads = teacher, teacher.heads
        self._prepared = functools.partial(preprocessors.shown, teacher.preprocess_samples)
        self._data, self._replay, self._batch_size = data, replay, batch_size
        self._known: dict[str, np.ndarray] | None = None  # the answers to the first batch

    def batches(self, spans: list[range]) -> Iterator[Batch]:
        """Gives all views of some samples, in order; no batch reaches over the end of a span."""
        if can_be_sliced(self._replay, self._data) and self._teacher.preprocess_samples is None:
            return itertools.starmap(Batch, slices_to_ask(self._data, spans, self._batch_size))
        dataset = batches_to_ask(self._replay, self._data, spans, self._batch_size)
        dataset = dataset.map(
            lambda ids, views, images, check: (ids, views, self._prepared(images), check),
            num_parallel_calls=-1,
        )
        pieces = (Batch(*piece) for piece in Held(dataset.as_numpy_iterator()))
        if self._data.fixed:
            return pieces
        return _merged(pieces, spans, self._replay.views, self._batch_size)

    def about(self, ids: np.ndarray, views: np.ndarray) -> Batch:
        """Returns a batch of some views, of samples near the beginning where data is a stream."""

        def shown(place: int) -> Any:
            row = ids[place : place + 1], views[place : place + 1]
            images, _ = self._replay.pixels(
                *rows.to_show(rows.taken(self._replay, self._data, *row))
            )
            check, images = np.asarray(check_bytes(images)), self._prepared(images)
            return Batch(*row, keras.tree.map_structure(np.asarray, images), check)

        return _joined([shown(place) for place in range(len(ids))])

    def answers(self, batch: Batch) -> dict[str, np.ndarray]:
        """Returns the teacher's logits by output name.

        Raises:
            ValueError: If there is not one for each view, or they are not finite, naming the first
                such sample.
        """
        if self._known and np.array_equal((*batch[:2],), (*self.first[:2],)):
            answers, self._known = self._known, None
            return answers
        logits = self._teacher.predict(batch.images)
        for name, values in logits.items():
            self._check(name, values, batch)
        return self._teacher.stored(logits, self._temperatures)

    def _check(self, name: str, values: Any, batch: Batch) -> None:
        several = values if isinstance(values, list) else [values]
        for who, answers in zip(self._teacher.respondents, several):
            if answers.shape[:1] != batch.ids.shape:
                raise refusal(
                    f"The teacher's answer {name!r} must have one row for each view it is shown",
                    expected=f"{len(batch.ids)} rows",
                    received=f"shape {answers.shape} of {who!r}",
                    mend="Let the teacher and its preprocess treat samples one by one",
                )
            finite = np.isfinite(answers.reshape(len(answers), -1)).all(axis=1)
            if finite.all():
                continue
            row, of = int(np.argmin(finite)), f" of {who!r}" if len(several) > 1 else ""
            raise refusal(
                f"The teacher's answer {name!r} must be finite",
                expected="finite numbers",
                received=f"NaN or Inf{of} for sample {batch.ids[row]} in view {batch.views[row]}",
                mend="Look whether the sample is finite, then at what teacher.predict makes of it",
            )

    @functools.cached_property
    def first(self) -> Batch:
        """What the teacher is asked first."""
        return next(self.batches([range(self._replay.samples)]))

    def trial(self, timed: bool) -> tuple[dict[str, np.ndarray], float]:
        """Returns the answers to the first batch, which `write` does not ask about again.

        Args:
            timed: Whether to find out how long a row takes.

        Returns:
            The answers, and the seconds that a row takes, 0.0 where nobody wants to know.
        """
        start = time.perf_counter()
        answers = self.answers(self.first)
        if timed and not self._teacher.on_host:  # a Keras model was compiled meanwhile
            start = time.perf_counter()
            self.answers(self.first)
        seconds = time.perf_counter() - start
        self._known = answers
        return answers, seconds / len(self.first.ids) if timed else 0.0


def write(
    questions: Questions,
    layout: Layout,
    records: dict[str, Record],
    numbers: list[int],
    store: Callable[[int, np.ndarray], None],
    verbose: int,
) -> None:
    """Fills shards with answers, in order.

    Args:
        questions: What the teacher is asked.
        layout: Which samples lie in which shard.
        records: How each signal is stored.
        numbers: Which shards, ascending.
        store: Called with each shard's number and records.
        verbose: 1 for a progress bar with the time left.
    """
    total = sum(len(layout.span(number)) * layout.views for number in numbers)
    bar = keras.utils.Progbar(total, verbose=verbose, unit_name="answer")
    kind = record_type(records)
    for run in _runs(numbers):
        shard, filled = None, 0
        remaining = iter(run)
        for batch in questions.batches([layout.span(number) for number in run]):
            if shard is None:
                number = next(remaining)
                shard, filled = np.empty(layout.shape(number), kind), 0
            part = shard.reshape(-1)[filled : filled + len(batch.ids)]
            part[CHECK] = batch.check
            for name, logits in questions.answers(batch).items():
                for field, values in records[name].encode(name, logits).items():
                    part[field] = values
            filled += len(part)
            bar.add(len(part))
            if filled == shard.size:
                store(number, shard)
                shard = None
        if shard is not None or next(remaining, None) is not None:
            raise _too_few(layout)


def _runs(numbers: list[int]) -> Iterator[list[int]]:
    """Splits ascending numbers where one is left out."""
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    for run in np.split(np.array(numbers, int), breaks):
        if len(run):
            yield run.tolist()


def _merged(pieces: Iterator[Batch], spans: list[range], views: int, size: int) -> Iterator[Batch]:
    """Puts pieces of a stream together to batches that end where a span does."""
    ends, waiting, count = {span.stop for span in spans}, [], 0
    for piece in pieces:
        if waiting and count + len(piece.ids) > size:
            yield _joined(waiting)
            waiting, count = [], 0
        waiting.append(piece)
        count += len(piece.ids)
        if piece.ids[-1] + 1 in ends and piece.views[-1] + 1 == views:
            yield _joined(waiting)
            waiting, count = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(pieces: list[Batch]) -> Batch:
    return Batch(*keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *pieces))


def _too_few(layout: Layout) -> ValueError:
    return refusal(
        "data must have as many samples as were counted",
        expected=f"{layout.samples} samples",
        received="fewer",
        mend="Pass a dataset that gives the same samples each time it is read",
    )
