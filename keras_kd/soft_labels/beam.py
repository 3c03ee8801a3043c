"""Soft labels written by many workers, with Apache Beam (`pip install "keras_kd[beam]"`).

    python -m keras_kd.soft_labels.beam --teacher=teacher.keras --data=x_train.npy \
        --output=labels/ --augment=crop_flip --views=10 --parts=16 \
        --runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=2

Flags that are not listed by `--help` go to Beam, so any of its runners takes the pipeline.
"""

import dataclasses
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_kd import _extras, soft_labels
from keras_kd._errors import check_choice, check_integer, refusal, wrong
from keras_kd.networks.heads import KINDS
from keras_kd.soft_labels.storage import manifest
from keras_kd.soft_labels.storage.folder import path_of
from keras_kd.soft_labels.store import SoftLabels
from keras_kd.soft_labels.writing.job import Job
from keras_kd.soft_labels.writing.named import imported, is_import_path, loaded, mapped, named
from keras_kd.soft_labels.writing.options import WriteOptions
from keras_kd.teachers.saved_model import SavedModel

beam = _extras.require("apache_beam", extra="beam")

__all__ = ["WriteSoftLabels", "main"]

_AUGMENTATIONS = ("color_jitter", "crop_flip", "cutmix", "cutout", "mixup", "random_resized_crop")


class WriteSoftLabels(beam.PTransform):
    """Writes a folder of soft labels in parts, which any number of workers take.

    A part is `SoftLabels.write(..., shard=(i, parts))`, a range of ids. Parts come in any order,
    and one that is retried, or runs twice, changes nothing: the folder has the same bytes as one
    writer's. All workers must see `directory`, and what `teacher` and `data` name. These are names,
    never objects: each worker loads them itself.

    Args:
        directory: The folder of the labels.
        teacher: Path of a `.keras` file or of a SavedModel's folder, or
            `"package.module:function"`, a function that returns a teacher.
        data: Path of an `.npy` file, which is mapped into memory; or `"package.module:function"`,
            a function that returns what `SoftLabels.write` takes, a TFDS builder included.
        augment: Name of a function of `keras_kd.soft_labels`, e.g. `"crop_flip"`; or
            `"package.module:attribute"`, an augmentation.
        head: What a SavedModel gives, as in `keras_kd.teachers.SavedModel`.
        parts: How many parts there are. More than workers, so that a slow one holds up none.
        **options: `views`, `seed`, `top_k`, `temperatures`, `dtype`, `signals` and `batch_size`, as
            in `SoftLabels.write`.

    Returns:
        When applied to a pipeline, a PCollection of one element, the folder's path, once all parts
        are there.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If one is out of range, or names what is not there. In a worker, if the
            folder holds other labels, as of another teacher.
        ImportError: If apache-beam is not installed.

    Example:
    >>> with beam.Pipeline(options=...) as pipeline:
    ...     pipeline | WriteSoftLabels("labels/", teacher="teacher.keras", data="x_train.npy",
    ...                                augment="crop_flip", views=10, parts=16)
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        teacher: str | os.PathLike[str],
        data: str | os.PathLike[str],
        augment: str | None = None,
        head: str | None = None,
        parts: int = 16,
        **options: Any,
    ):
        super().__init__()
        self._parts = check_integer("parts", parts, 1, example=16)
        if "shard" in options:
            mend = "Leave it out and pass parts=, each of which is a shard"
            raise wrong("shard", "be left to the parts", options["shard"], mend=mend)
        # The workers may have another working directory.
        directory = str(path_of(directory).absolute())
        checked = WriteOptions(directory=directory, augment=augment, verbose=0, **options)
        given = {each.name: getattr(checked, each.name) for each in dataclasses.fields(checked)}
        self._call = _Call(
            teacher=named("teacher", teacher, ".keras"),
            head=_head(head, teacher),
            data=named("data", data, ".npy"),
            # Paths of Python's own are of this system; a string is one everywhere.
            options=given | {"directory": directory},
        )
        if augment is not None:
            _augmentation(augment)

    def expand(self, pipeline: Any) -> Any:
        """Applies the transform."""
        written = (
            pipeline
            | "Once" >> beam.Create([None])
            | "Begin" >> beam.ParDo(_Begin(self._call, self._parts))
            | "Spread" >> beam.Reshuffle()
            | "Write" >> beam.ParDo(_Write(self._call, self._parts))
        )
        return (
            written
            | "Wait" >> beam.CombineGlobally(beam.combiners.CountCombineFn())
            | "Open" >> beam.Map(_opened, self._call.options["directory"])
        )


@dataclasses.dataclass(frozen=True)
class _Call:
    """A call of `SoftLabels.write` in names and numbers, which can go to other machines."""

    teacher: str
    head: str | None
    data: str
    options: dict[str, Any]


class _Write(beam.DoFn):
    """Writes parts; a worker loads teacher and data once."""

    def __init__(self, call: _Call, parts: int):
        self._call, self._parts = call, parts

    def setup(self) -> None:
        """Loads what the call names."""
        call = self._call
        self._teacher = loaded("teacher", call.teacher, functools.partial(_teacher, head=call.head))
        self._data = loaded("data", call.data, mapped)
        augment = call.options["augment"]
        self._augment = augment and _augmentation(augment)

    def process(self, part: int) -> Iterator[int]:
        """Writes one part, as far as it is not there yet."""
        directory = Path(self._call.options["directory"])
        if not (directory / manifest.NAME).is_file():
            raise refusal(
                f"{directory} must be a folder that all workers see",
                expected=f"{manifest.NAME}, which another worker has begun there",
                received="none",
                mend="Pass a path on a file system that is mounted on every worker",
            )
        self._job(part).to_folder()
        yield part

    def _job(self, part: int) -> Job:
        given = {"augment": self._augment, "shard": (part, self._parts)}
        return Job.of(self._teacher, self._data, WriteOptions(**self._call.options | given))


class _Begin(_Write):
    """Tries teacher and data, begins the folder, and hands out the parts."""

    def process(self, _: None) -> Iterator[int]:
        """Gives the parts' numbers."""
        self._job(0).begin()
        yield from range(self._parts)


def _opened(_: int, directory: str) -> str:
    SoftLabels.open(directory)
    return directory


def _head(head: str | None, teacher: str | os.PathLike[str]) -> str | None:
    """Returns the head of a SavedModel, which its file does not show; others show theirs."""
    if isinstance(teacher, (str, os.PathLike)) and Path(teacher).is_dir():
        return check_choice("head", head, KINDS)
    if head is not None:
        mend = "Leave it out; a function can return keras_kd.teachers.KerasModel(model, head=...)"
        raise wrong("head", "be left to SavedModels", head, mend=mend)
    return None


def _teacher(path: str, head: str | None) -> Any:
    return SavedModel(path, head) if Path(path).is_dir() else keras.saving.load_model(path)


def _augmentation(text: Any) -> Any:
    if isinstance(text, str) and text in _AUGMENTATIONS:
        return getattr(soft_labels, text)
    if isinstance(text, str) and is_import_path(text):
        return imported("augment", text)
    kinds = " or ".join(map(repr, _AUGMENTATIONS))
    rule = "be the name of an augmentation, or its import path"
    raise wrong("augment", rule, text, expected=f"{kinds}, or a path", example="crop_flip")


def _defined_flags() -> Any:
    from absl import flags

    flags.DEFINE_string(
        "teacher", None, "A .keras file, a SavedModel, or package.module:function.", required=True
    )
    flags.DEFINE_enum("head", None, list(KINDS), "What a SavedModel gives.")
    flags.DEFINE_string("data", None, "An .npy file, or package.module:function.", required=True)
    flags.DEFINE_string("output", None, "The folder of the labels.", required=True)
    flags.DEFINE_string("augment", None, "E.g. crop_flip, or package.module:attribute.")
    flags.DEFINE_integer("parts", 16, "How many parts the workers share.", lower_bound=1)
    flags.DEFINE_integer("views", 1, "Views of each sample.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed of all draws.", lower_bound=0)
    flags.DEFINE_integer("top_k", None, "How many classes are kept.", lower_bound=1)
    flags.DEFINE_list("temperatures", ["4.0"], "With top_k: where students will train.")
    flags.DEFINE_enum("dtype", "float16", ["float16", "float32"], "How numbers are stored.")
    flags.DEFINE_list("signals", [], "Layer paths whose signals are stored.")
    flags.DEFINE_integer("batch_size", 128, "Views shown at once.", lower_bound=1)
    return flags.FLAGS


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Args:
        argv: The program's name and its arguments; Beam gets those that are not ours.
    """
    from absl import flags

    found = flags.FLAGS
    names = ("head", "augment", "parts", "views", "seed", "top_k", "dtype", "signals", "batch_size")
    transform = WriteSoftLabels(
        found.output,
        teacher=found.teacher,
        data=found.data,
        temperatures=[float(each) for each in found.temperatures],
        **{name: getattr(found, name) for name in names},
    )
    options = beam.options.pipeline_options.PipelineOptions(list(argv[1:]))
    with beam.Pipeline(options=options) as pipeline:
        pipeline | "WriteSoftLabels" >> transform
    print(SoftLabels.open(found.output))


if __name__ == "__main__":
    from absl import app

    # Beam pickles by name: the workers must find the module by its own, not as `__main__`.
    from keras_kd.soft_labels.beam import main as run

    app.run(
        run,
        argv=sys.argv,
        flags_parser=lambda argv: _defined_flags()(argv, known_only=True),
    )
