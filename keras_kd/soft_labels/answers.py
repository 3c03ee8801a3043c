"""Stored answers, read at random; to a Distiller, a teacher that is not there."""

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._errors import check_integer, refusal, wrong
from keras_kd.networks.heads import Head
from keras_kd.networks.ports import Port, is_automatic
from keras_kd.networks.taps import signal_name
from keras_kd.soft_labels.storage.folder import layout_of
from keras_kd.soft_labels.storage.records import (
    CHECK,
    Record,
    check_temperature,
    check_term,
    dense,
    record_type,
)
from keras_kd.soft_labels.storage.shards import gather
from keras_kd.soft_labels.training import data_checks
from keras_kd.soft_labels.training.datasets import not_replayed
from keras_kd.soft_labels.training.epochs import EpochCallback, Epochs, epochs_of
from keras_kd.soft_labels.views.replay import shown
from keras_kd.teachers.averaging import reading_of
from keras_kd.teachers.confidence import confidence, tempered_confidence
from keras_kd.teachers.teacher import Teacher

__all__ = ["StoredAnswers"]

_MOST_NUMBERS = 2**26  # that are held in memory to find a temperature


class StoredAnswers(Teacher):
    """A teacher's answers by sample and view.

    Args:
        content: A manifest's content.
        shards: The records of each shard, by number.
        directory: Where they lie, `None` for memory.
    """

    can_be_asked = False

    def __init__(
        self,
        content: dict[str, Any],
        shards: Any,
        directory: Path | None,
    ):
        self._content, self._shards, self._directory = content, shards, directory
        self._epochs = epochs_of(directory)
        self._layout = layout_of(content)
        self.samples, self.views = self._layout.samples, self._layout.views
        self._records = {n: Record.from_json(r) for n, r in content["signals"].items()}
        self._type = record_type(self._records)
        outputs = content["teacher"]["outputs"]
        self.heads = {
            n: Head(outputs[n]["head"], (None, *self._records[n].answer)) for n in outputs
        }
        self.signals = {
            name: (None, *record.shape)
            for name, record in self._records.items()
            if name not in outputs
        }
        self.keyed = content["teacher"]["keyed"]
        self.input_order = content["teacher"].get("inputs")
        self.outputs = [
            Port(name, self.keyed or not is_automatic(name), head.shape)
            for name, head in self.heads.items()
        ]
        self.inverted = {name: output["inverted"] for name, output in outputs.items()}

    def read(self, ids: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Returns stored values in any order.

        Args:
            ids: Sample ids, integers `(n,)`.
            views: Their views, integers `(n,)`.

        Returns:
            Arrays `(n, ...)` by field: a signal's logits under its name; of top classes
            `"<name>.indices"`, `"<name>.logits"` and `"<name>.tails"`.

        Raises:
            ValueError: If a shard is damaged, or a sample or view is not there.
        """
        ids, views = np.asarray(ids), np.asarray(views)
        _check_indices("ids", ids, self.samples)
        _check_indices("views", views, self.views)
        if len(ids) != len(views):
            mend = "Pass e.g. views=ids % soft.views"
            raise wrong("views", f"be as many as ids, {len(ids)}", len(views), mend=mend)
        values = self.read_checked(ids.astype("int64"), views.astype("int64"))
        del values[CHECK]
        return values

    def read_checked(self, ids: np.ndarray, views: np.ndarray) -> dict[str, np.ndarray]:
        """Returns what `read` does, and the check bytes of the images as `CHECK`."""
        rows = gather(self._shards, self._type, self._layout, ids, views)
        return {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names}

    def arrays(self, epoch: int = 0) -> dict[str, np.ndarray]:
        """Returns the answers that an epoch shows, in the order of the samples, as `read` does."""
        check_integer("epoch", epoch)
        return self.read(*shown(np.arange(self.samples), self.views, epoch))

    def stored_confidences(self, names: list[str]) -> dict[str, tuple]:
        """Returns how sure the answers are at a temperature, and where that is known exactly.

        All samples and views count; of more than `_MOST_NUMBERS`, evenly spread ones.
        """
        found = {}
        for name, own in self.taught_by(names).items():
            record = self._records[own]
            kept = record.top_k or math.prod(record.shape)
            rows = self.samples * self.views
            picked = np.unique(np.linspace(0, rows - 1, min(rows, _MOST_NUMBERS // kept + 1)))
            values = self.read_checked(*divmod(picked.astype("int64"), self.views))
            # Logits can be softened at any temperature, stored probabilities at theirs only.
            if not record.is_tempered:
                found[name] = functools.partial(confidence, values[own]), None
                continue
            top = record.top_k is not None
            found[name] = (
                functools.partial(
                    tempered_confidence,
                    logits=values[f"{own}.logits" if top else own],
                    tails=values[f"{own}.tails"] if top else None,
                    kept=record.temperatures,
                    averaged=record.averaged,
                ),
                record.temperatures,
            )
        return found

    def check_terms(self, terms: Sequence[Any], names: list[str]) -> None:
        """Raises where terms cannot learn from what is stored."""
        for term, own in self._learning(terms, names):
            check_term(term, own, self._records[own], self.heads[own].kind)

    def check_temperatures(self, terms: Sequence[Any], names: list[str]) -> None:
        """Raises where the answers were not stored for the temperature of a term."""
        for term, own in self._learning(terms, names):
            if self._records[own].is_tempered:
                value = float(ops.convert_to_numpy(reading_of(term)[1]))
                check_temperature(value, own, self._records[own])

    def out_of_range(self, terms: Sequence[Any], names: list[str]) -> Any:
        """Returns whether a term has got a temperature that the answers were not stored for."""
        known = [ops.convert_to_tensor(True)]
        for term, own in self._learning(terms, names):
            record = self._records[own]
            if record.is_tempered:
                stored = ops.convert_to_tensor(np.asarray(record.temperatures, "float32"))
                temperature = ops.cast(reading_of(term)[1], "float32")
                known.append(ops.any(ops.isclose(stored, temperature)))
        return ~ops.all(ops.stack(known))

    def _learning(self, terms: Sequence[Any], names: list[str]) -> Iterator[tuple[Any, str]]:
        """Gives each term with the name of the output that it learns from."""
        own = self.taught_by(names)
        on_outputs = (term for term in terms if "teacher" not in term.tapped())
        return ((term, own[term.output_name or names[0]]) for term in on_outputs)

    def callback(self, steps_per_epoch: int | None = None) -> keras.callbacks.Callback:
        """Returns what sets the epoch in the `fit` of other models; `Distiller.fit` brings it.

        Args:
            steps_per_epoch: As given to `fit`.
        """
        if steps_per_epoch is not None:
            check_integer("steps_per_epoch", steps_per_epoch, 1)
        return EpochCallback(self, steps_per_epoch)

    def start_epoch(self, epoch: int, steps_per_epoch: int | None = None) -> None:
        """Has the next pass of each dataset show an epoch.

        Args:
            epoch: The epoch, from 0.
            steps_per_epoch: Steps of an epoch, where it is not a pass.
        """
        check_integer("epoch", epoch)
        # A copy: datasets that are no longer used leave the set at any time.
        for epochs in list(self._epochs):
            epochs.set(epoch, steps_per_epoch)

    def check_began(self, before: int) -> None:
        """Raises where only other labels' datasets have begun a pass after the given one."""
        if all(epochs.last_pass <= before for epochs in self._epochs):
            raise data_checks.others_answers(self.described())

    def check_data(self, x: Any, what: str = "Training data") -> None:
        """Raises where a dataset has no answers, or no batches."""
        data_checks.check_training_data(x, self._type, what)

    def explained(self, error: Exception) -> Exception | None:
        """Returns the error of pixels that the teacher was not shown."""
        return not_replayed(error)

    def callbacks(self, steps_per_epoch: int | None) -> list[keras.callbacks.Callback]:
        """Returns what `Distiller.fit` adds to its callbacks."""
        return [self.callback(steps_per_epoch)]

    def new_epochs(self, batches: int | None) -> Epochs:
        """Returns what counts the passes of a dataset of so many batches."""
        epochs = Epochs(batches)
        self._epochs.add(epochs)
        return epochs

    def with_taps(self, paths: Sequence[str]) -> "StoredAnswers":
        """Returns itself, which has the signals that were stored.

        Raises:
            ValueError: If one was not.
        """
        missing = [path for path in paths if signal_name(path) not in self.signals]
        if missing:
            raise refusal(
                "Terms must name signals that were stored",
                expected=f"signals among {list(self.signals)}",
                received=f"{missing}",
                mend=f"Write the labels with signals={list(paths)}",
            )
        return self

    def carried(self, answers: dict[str, Any], names: list[str]) -> dict[str, Any]:
        """Returns what is stored of each output by the student's names, and the signals."""
        _check_fields(answers, self._type)
        return {
            name: {own: {f: answers[f] for f, *_ in self._records[own].fields(own)}}
            for name, own in self.taught_by(names).items()
        } | {name: answers[name] for name in self.signals}

    def answer_to(self, term: Any, answer: Any) -> Any:
        """Returns a signal, or dense logits for the term's temperature."""
        if not isinstance(answer, dict):
            return answer
        ((own, fields),) = answer.items()
        return dense(fields, own, self._records[own], reading_of(term)[1])

    def __call__(self, x: Any, names: list[str], values: Any = ()) -> dict[str, Any]:
        """Raises, for only the datasets of `dataset` and `attach` carry the answers."""
        raise data_checks.no_answers()

    @property
    def name(self) -> str:
        """Whose answers they are."""
        return f"stored answers of {self._content['teacher']['name']}"

    def described(self) -> str:
        """Returns whose answers to what they are, and where they lie."""
        where = self._directory or "memory"
        return f"{self.name} to {self.samples:,} samples x {self.views} views, in {where}"

    def __repr__(self) -> str:
        return f"<SoftLabels {self.described()}>"


def _check_indices(name: str, values: np.ndarray, size: int) -> None:
    """Raises where numbers are not indices of `size` things."""
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise refusal(
            f"{name} must be a vector of integers",
            received=f"{values.dtype} of shape {values.shape}",
            mend=f"Pass e.g. {name}=np.arange(10)",
            error=TypeError,
        )
    if len(values) and not (values.min() >= 0 and values.max() < size):
        raise refusal(
            f"{name} must be indices from 0 to {size - 1}",
            received=f"{values.min()} to {values.max()}",
            mend=f"Pass e.g. {name}=np.arange({min(size, 10)})",
        )


def _check_fields(answers: dict[str, Any], record: np.dtype) -> None:
    """Raises where a batch carries other labels' answers."""
    expected = {name: record[name].shape for name in record.names if name != CHECK}
    received = {name: tuple(values.shape[1:]) for name, values in answers.items()}
    if received != expected:
        raise refusal(
            "Training data must carry the answers of the SoftLabels that teach",
            expected=f"{expected}",
            received=f"{received}",
            mend="Train on the dataset of the same labels, teacher=soft and soft.dataset(x, y)",
        )
