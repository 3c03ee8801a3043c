"""Teachers and data by name, which workers on other machines load for themselves."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import refusal, wrong

__all__ = ["imported", "is_import_path", "loaded", "mapped", "named"]

_SAVED_MODEL = "saved_model.pb"
_BEGINS = {".keras": b"PK", ".npy": b"\x93NUMPY"}


def named(name: str, value: Any, suffix: str) -> str:
    """Returns a file's absolute path or a function's import path, which lead somewhere here."""
    rule = f"be the path of a {suffix} file, or the import path of a function"
    example = f"{name}{suffix}"
    if not isinstance(value, str | os.PathLike):
        raise wrong(name, rule, value, example=example, error=TypeError)
    text = os.fspath(value)
    if is_import_path(text):
        imported(name, text)
        return text
    path = Path(text).absolute()
    if name == "teacher" and (path / _SAVED_MODEL).is_file():
        return str(path)
    if path.suffix != suffix or not path.is_file() or not _is_of_kind(path):
        kinds = (
            (path.is_file(), "another file"),
            (path.is_dir(), "a folder"),
            (True, "no such file"),
        )
        received = f"{text}, {next(kind for there, kind in kinds if there)}"
        mend = f"Pass e.g. {name}={example!r} or {name}='package.module:function'"
        raise refusal(f"{name} must {rule}", expected=rule[3:], received=received, mend=mend)
    return str(path)


def _is_of_kind(path: Path) -> bool:
    begins = _BEGINS[path.suffix]
    with path.open("rb") as file:
        return file.read(len(begins)) == begins


def is_import_path(text: str) -> bool:
    """Whether a text is `"package.module:attribute"`."""
    module, colon, attribute = text.partition(":")
    return bool(colon) and attribute.isidentifier() and "/" not in module and "\\" not in module


def imported(name: str, text: str) -> Any:
    """Returns what an import path leads to."""
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


def loaded(name: str, text: str, load: Any) -> Any:
    """Returns what a name stands for, in a worker."""
    if is_import_path(text):
        return imported(name, text)()
    try:
        return load(text)
    except Exception as error:
        raise refusal(
            f"{name} must be a file that every worker can load",
            expected="a path on a file system that is mounted on every worker",
            received=f"{text} ({type(error).__name__}: {error})",
            mend="Copy it there; where it has classes of its own, pass 'package.module:function'",
        ) from error


def mapped(path: str) -> np.ndarray:
    """Returns the array of an `.npy` file, mapped into memory."""
    return np.load(path, mmap_mode="r", allow_pickle=False)
