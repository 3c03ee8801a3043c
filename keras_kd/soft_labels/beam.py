"""Soft labels written by many workers, with Apache Beam (`pip install "keras_kd[beam]"`).

    python -m keras_kd.soft_labels.beam --teacher=teacher.keras --data=x_train.npy \
        --output=labels/ --augment=crop_flip --views=10 --parts=16 \
        --runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=2

Flags that are not listed by `--help` go to Beam, so any of its runners takes the pipeline.
"""

import dataclasses
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import _extras, soft_labels
from keras_kd._errors import check_integer, refusal, wrong
from keras_kd.soft_labels.storage import manifest
from keras_kd.soft_labels.storage.folder import path_of
from keras_kd.soft_labels.store import SoftLabels
from keras_kd.soft_labels.writing.job import Job
from keras_kd.soft_labels.writing.options import WriteOptions

beam = _extras.require("apache_beam", extra="beam")

__all__ = ["WriteSoftLabels", "main"]

_BEGINS = {".keras": b"PK", ".npy": b"\x93NUMPY"}
_AUGMENTATIONS = ("color_jitter", "crop_flip", "cutmix", "cutout", "mixup", "random_resized_crop")


class WriteSoftLabels(beam.PTransform):
    """Writes a folder of soft labels in parts, which any number of workers take.

    A part is `SoftLabels.write(..., shard=(i, parts))`, a range of ids. Parts come in any order,
    and one that is retried, or runs twice, changes nothing: the folder has the same bytes as one
    writer's. All workers must see `directory`, and what `teacher` and `data` name. These are names,
    never objects: each worker loads them itself.

    Args:
        directory: The folder of the labels.
        teacher: Path of a `.keras` file, or `"package.module:function"`, a function that returns
            a teacher.
        data: Path of an `.npy` file, which is mapped into memory; or `"package.module:function"`,
            a function that returns what `SoftLabels.write` takes, a TFDS builder included.
        augment: Name of a function of `keras_kd.soft_labels`, e.g. `"crop_flip"`; or
            `"package.module:attribute"`, an augmentation.
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
        parts: int = 16,
        **options: Any,
    ):
        super().__init__()
        self._parts = check_integer("parts", parts, 1, example=16)
        # The workers may have another working directory.
        directory = str(path_of(directory).absolute())
        checked = WriteOptions(directory=directory, augment=augment, verbose=0, **options)
        given = {each.name: getattr(checked, each.name) for each in dataclasses.fields(checked)}
        self._call = _Call(
            teacher=_named("teacher", teacher, ".keras"),
            data=_named("data", data, ".npy"),
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
    data: str
    options: dict[str, Any]


class _Write(beam.DoFn):
    """Writes parts; a worker loads teacher and data once."""

    def __init__(self, call: _Call, parts: int):
        self._call, self._parts = call, parts

    def setup(self) -> None:
        """Loads what the call names."""
        call = self._call
        self._teacher = _loaded("teacher", call.teacher, keras.saving.load_model)
        self._data = _loaded("data", call.data, _mapped)
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


def _named(name: str, value: Any, suffix: str) -> str:
    """Returns a file's absolute path or a function's import path, which lead somewhere here."""
    rule = f"be the path of a {suffix} file, or the import path of a function"
    example = f"{name}{suffix}"
    if not isinstance(value, str | os.PathLike):
        raise wrong(name, rule, value, example=example, error=TypeError)
    text = os.fspath(value)
    if _is_import_path(text):
        _imported(name, text)
        return text
    path = Path(text).absolute()
    if path.suffix != suffix or not path.is_file() or not _is_of_kind(path):
        received = f"{text}, {'another file' if path.is_file() else 'no such file'}"
        mend = f"Pass e.g. {name}={example!r} or {name}='package.module:function'"
        raise refusal(f"{name} must {rule}", expected=rule[3:], received=received, mend=mend)
    return str(path)


def _is_of_kind(path: Path) -> bool:
    begins = _BEGINS[path.suffix]
    with path.open("rb") as file:
        return file.read(len(begins)) == begins


def _is_import_path(text: str) -> bool:
    module, colon, attribute = text.partition(":")
    return bool(colon) and attribute.isidentifier() and "/" not in module and "\\" not in module


def _imported(name: str, text: str) -> Any:
    module, _, attribute = text.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise refusal(
            f"{name} must name what every worker can import",
            expected="'package.module:function'",
            received=f"{text} ({error})",
            mend="Install the package on the workers, or put it on their PYTHONPATH",
        ) from error


def _loaded(name: str, text: str, load: Any) -> Any:
    """Returns what a name stands for, in a worker."""
    if _is_import_path(text):
        return _imported(name, text)()
    try:
        return load(text)
    except Exception as error:
        raise refusal(
            f"{name} must be a file that every worker can load",
            expected="a path on a file system that is mounted on every worker",
            received=f"{text} ({type(error).__name__}: {error})",
            mend="Copy it there; where it has classes of its own, pass 'package.module:function'",
        ) from error


def _mapped(path: str) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _augmentation(text: Any) -> Any:
    if isinstance(text, str) and text in _AUGMENTATIONS:
        return getattr(soft_labels, text)
    if isinstance(text, str) and _is_import_path(text):
        return _imported("augment", text)
    kinds = " or ".join(map(repr, _AUGMENTATIONS))
    rule = "be the name of an augmentation, or its import path"
    raise wrong("augment", rule, text, expected=f"{kinds}, or a path", example="crop_flip")


def _defined_flags() -> Any:
    from absl import flags

    flags.DEFINE_string(
        "teacher", None, "A .keras file, or package.module:function.", required=True
    )
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
    names = ("augment", "parts", "views", "seed", "top_k", "dtype", "signals", "batch_size")
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
