"""One call of `SoftLabels.write`: what is written, where to, and what it will cost."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_kd._errors import refusal
from keras_kd._text import bytes_in_words, duration_in_words
from keras_kd._version import __version__
from keras_kd.soft_labels.agreement import compare
from keras_kd.soft_labels.augmentation.stages import Augmentation
from keras_kd.soft_labels.storage import manifest
from keras_kd.soft_labels.storage.folder import Folder
from keras_kd.soft_labels.storage.layout import Layout
from keras_kd.soft_labels.storage.records import DENSE_CLASSES, Record, record_type
from keras_kd.soft_labels.views.purity import probe
from keras_kd.soft_labels.views.replay import Replay
from keras_kd.soft_labels.views.sources import Arrays, Stream, description, source
from keras_kd.soft_labels.writing import teacher_checks
from keras_kd.soft_labels.writing.options import WriteOptions
from keras_kd.soft_labels.writing.writer import Questions, write
from keras_kd.teachers.teacher import Teacher

__all__ = ["Job", "describe"]

_TOP_K = 10


class Job:
    """What a teacher is asked, and how its answers are stored.

    Attributes:
        content: The manifest of the labels, without shards.
        augmentation: What makes the views.
    """

    def __init__(
        self,
        options: WriteOptions,
        questions: Questions,
        layout: Layout,
        records: dict[str, Record],
        seconds: float,
        content: dict[str, Any],
        augmentation: Augmentation,
    ):
        self._options, self._questions = options, questions
        self._layout, self._records, self._seconds = layout, records, seconds
        self.content, self.augmentation = content, augmentation

    @classmethod
    def of(cls, teacher: Any, data: Any, options: WriteOptions) -> "Job":
        """Returns the job of a teacher that can be asked about these data.

        Raises:
            TypeError: If `teacher` or `data` is of the wrong type.
            ValueError: If they do not fit together, or `augment` is not pure.
        """
        teacher_checks.check_alone()
        teacher = teacher_checks.asked(teacher).with_taps(options.signals)
        data, augmentation = source(data), Augmentation.of(options.augment)
        teacher_checks.check_single(teacher, data)
        teacher_checks.check_can_mix(augmentation, data)
        if isinstance(data, Stream):
            data.check_order()
        pairing = data.pairing if augmentation.mixes else 1
        replay = Replay(augmentation, options.seed, data.samples, options.views, pairing)
        outputs = probe(replay, data)
        questions = Questions(teacher, data, replay, options.batch_size, options.temperatures)
        teacher_checks.check_inputs(teacher, questions)
        logits, seconds = teacher_checks.trial(questions, timed=bool(options.verbose))
        records = {
            name: _record(teacher, name, values.shape[1:], options)
            for name, values in logits.items()
        }
        layout = Layout.of(data.samples, options.views, record_type(records).itemsize, pairing)
        content = {
            **_content(replay, layout, outputs),
            "format": manifest.FORMAT if teacher.averages else manifest.WITHOUT_MEANS,
            "data": description(data),
            "teacher": {**describe(teacher), **_inputs(teacher, data)},
            "signals": {name: record.to_json() for name, record in records.items()},
        }
        return cls(options, questions, layout, records, seconds, content, augmentation)

    def to_memory(self) -> list[np.ndarray]:
        """Asks, and returns the shards."""
        shards: list[np.ndarray] = []
        numbers = list(range(self._layout.shards))
        self._write(numbers, lambda _, records: shards.append(records))
        return shards

    def to_folder(self) -> dict[str, Any] | None:
        """Asks for what is missing; returns the sealed manifest's content once all is there."""
        folder = Folder(self._options.directory, self.content)
        missing = folder.missing(self._layout.share(*self._options.shard))
        self._check_goes_on(folder)
        self._write(missing, folder.store)
        return folder.content if folder.seal() else None

    def begin(self) -> None:
        """Begins the folder, in which others write the shards.

        Raises:
            ValueError: If it holds other labels.
        """
        Folder(self._options.directory, self.content).missing(range(0))

    def _check_goes_on(self, folder: Folder) -> None:
        """Raises where the teacher, by another preprocess or activation, answers otherwise now."""
        there = folder.shards()
        if there is not None:
            number, shards = there
            batch = next(self._questions.batches([self._layout.span(number)]))
            stored = shards[number].reshape(-1)[: len(batch.ids)]
            fresh = self._questions.answers(batch)
            compare(fresh, stored, self._records, self._questions.heads)

    def _write(self, numbers: list[int], store: Callable[[int, np.ndarray], Any]) -> None:
        verbose = self._options.verbose
        if verbose:
            print(self._announcement(numbers), flush=True)
        write(self._questions, self._layout, self._records, numbers, store, verbose)

    def _announcement(self, numbers: list[int]) -> str:
        answers = sum(len(self._layout.span(n)) * self._layout.views for n in numbers)
        size = answers * record_type(self._records).itemsize
        return (
            f"Soft labels of {self.content['teacher']['name']}: {answers:,} answers to write "
            f"({self._layout.samples:,} samples x {self._layout.views} views in all), "
            f"{bytes_in_words(size)}, about {duration_in_words(answers * self._seconds)}"
        )


def _content(replay: Replay, layout: Layout, outputs: str) -> dict[str, Any]:
    """Returns the part of a manifest that is about views, with the hash of what they show."""
    stages = replay.augmentation.description()
    return {
        "samples": layout.samples,
        "views": layout.views,
        "samples_per_shard": layout.samples_per_shard,
        "pairing": replay.pairing,
        "seed": replay.seed,
        "augmentation": {"stages": stages, "outputs": outputs},
        "versions": _versions(),
        "shards": None,
    }


def describe(teacher: Teacher) -> dict[str, Any]:
    """Returns what tells a teacher from others, in JSON's types."""
    return {
        "name": teacher.name,
        "weights": teacher.fingerprint(),
        "preprocess": teacher.preprocess_name,
        "keyed": teacher.keyed,
        "outputs": {
            name: {"head": head.kind, "inverted": teacher.inverted[name]}
            for name, head in teacher.heads.items()
        },
    }


def _inputs(teacher: Teacher, data: Arrays | Stream) -> dict[str, list[str]]:
    """Returns the names of the teacher's inputs, where it is shown lists in their order."""
    x = data.inputs.element_spec if isinstance(data, Stream) else data.x
    names = [] if teacher.inputs is None else [port.name for port in teacher.inputs.ports]
    if teacher.preprocess is not None or isinstance(x, dict) or len(names) < 2:
        return {}
    return {"inputs": names}


def _record(
    teacher: Teacher,
    name: str,
    shape: tuple[int, ...],
    options: WriteOptions,
) -> Record:
    dtype, top_k = options.dtype, options.top_k
    if name in teacher.signals:
        return Record(tuple(shape), dtype)
    kind = teacher.heads[name].kind
    centered = kind == "softmax"
    if not shape:
        raise refusal(
            f"The teacher's output {name!r} must have an axis of classes",
            expected="shape (batch, ..., classes)",
            received="shape (batch,)",
            mend="Let the teacher return logits",
        )
    classes = shape[-1]
    categorical = kind in ("softmax", "logits")
    if top_k is None and categorical and classes > DENSE_CLASSES:
        top_k = _TOP_K
    # What several teachers are averaged at, first.
    averaged = {"averaged": True, "temperatures": options.temperatures} if teacher.averages else {}
    if top_k is None or top_k >= classes:
        return Record(tuple(shape), dtype, centered, **averaged)
    if not categorical:
        raise refusal(
            "top_k must be left to outputs whose classes exclude each other",
            expected=f"a softmax or logits at the output {name!r}",
            received=f"top_k={top_k} for the head {kind!r}",
            mend="Leave top_k out to keep all classes",
        )
    averaged["temperatures"] = options.temperatures
    return Record(tuple(shape), dtype, centered, top_k, **averaged)


def _versions() -> dict[str, str]:
    import tensorflow as tf

    return {
        "keras_kd": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "backend": keras.backend.backend(),
    }
