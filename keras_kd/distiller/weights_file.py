"""A Distiller's `.weights.h5`, which the student loads as its own.

The student's groups stand at the root, where Keras looks for them; all of the Distiller, with links
to them, stands under one name beside them.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

__all__ = ["as_keras_wrote_it", "is_the_students", "serve_the_student"]

_ALL = "keras_kd"


def serve_the_student(path: Any) -> None:
    """Moves what Keras has written for a Distiller, and links the student's part to the root."""
    with _opened(path, "r+") as file:
        student = file and _student(file)
        if not student:
            return
        groups = {name: student[name] for name in student}
        file.create_group(_ALL)
        for name in [name for name in file if name != _ALL]:
            file.move(name, f"{_ALL}/{name}")
        for name, group in groups.items():
            file[name] = group


def is_the_students(path: Any) -> bool:
    """Whether a file was written for a student alone."""
    with _opened(path, "r") as file:
        return bool(file) and _ALL not in file and not _student(file)


@contextlib.contextmanager
def as_keras_wrote_it(path: Any) -> Iterator[Any]:
    """Gives a file of a Distiller as Keras has written it, which older versions left as it was."""
    with _opened(path, "r") as file, tempfile.TemporaryDirectory() as folder:
        if not file or _ALL not in file:
            yield path
            return
        copy = Path(folder) / Path(path).name
        with h5py.File(copy, "w") as written:
            for name in file[_ALL]:
                file.copy(f"{_ALL}/{name}", written)
        yield copy


def _student(file: h5py.File) -> h5py.Group | None:
    """Returns the student's group in what Keras writes, of the one layer that is not a term."""
    layers = file.get("layers", {})
    terms = [name for name in layers if name == "term" or name.startswith("term_")]
    others = [name for name in layers if name not in terms]
    return layers[others[0]] if terms and len(others) == 1 else None


@contextlib.contextmanager
def _opened(path: Any, mode: str) -> Iterator[h5py.File | None]:
    """Gives an HDF5 file on this machine, `None` for other paths."""
    if not (str(path).endswith(".h5") and Path(path).is_file()):
        yield None
        return
    with h5py.File(path, mode) as file:
        yield file
