"""Where an export may be written, and the renames that bring it there."""

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path

from keras_kd import _files
from keras_kd._errors import shown
from keras_kd.export.placing import REPLACED, path_message

__all__ = ["file_target", "folder_target", "keras_target", "publish_folder"]

_ATTEMPTS = 10
_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISLNK, "link in a circle"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)
_SAVED_MODEL_PARTS = {"assets", "assets.extra", "fingerprint.pb", "saved_model.pb", "variables"}


def file_target(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as the absolute place of a file.

    Raises:
        TypeError: If `path` is not a path.
        ValueError: If `path` holds something other than a file, or a Keras model, or its folder is
            missing.
    """
    target = _target(path)
    kind = _kind(target)
    if kind not in (None, "file"):
        expected = "a new path, or a .tflite file to replace"
        raise ValueError(path_message("name a file", expected, f"the {kind} {path}"))
    if _is_keras_model(target):
        expected = "a new path, or a .tflite file to replace"
        raise ValueError(path_message("not be a Keras model's", expected, f"the file {path}"))
    return _not_keras(target)


def keras_target(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as the absolute place of a file of Keras' own, which may be there already.

    Raises:
        TypeError: If `path` is not a path.
        ValueError: If `path` holds something other than a file, or its folder does not exist.
    """
    target = _target(path)
    kind = _kind(target)
    if kind not in (None, "file"):
        expected = "a new path, or a file to replace"
        raise ValueError(path_message("name a file", expected, f"the {kind} {path}"))
    return target


def _kind(target: Path) -> str | None:
    """Says what is at a path, `None` if nothing is."""
    try:
        mode = os.lstat(target).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return next((kind for test, kind in _KINDS if test(mode)), "special file")


def _is_keras_model(file: Path) -> bool:
    """Whether a file looks like what `Model.save` writes, a training that must not be lost."""
    if not file.is_file():
        return False
    try:
        with open(file, "rb") as opened:
            return opened.read(8).startswith((b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"))
    except OSError:
        return False


def folder_target(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as the absolute place of a SavedModel.

    Raises:
        TypeError: If `path` is not a path.
        ValueError: If `path` holds something other than a SavedModel, or its folder does not exist.
    """
    target = _target(path)
    expected = "a new path, an empty folder or a SavedModel to replace"
    kind = _kind(target)
    if kind not in (None, "folder"):
        raise ValueError(path_message("name a folder", expected, f"the {kind} {path}"))
    names = {entry.name for entry in target.iterdir()} if kind else set()
    foreign = sorted(names - _SAVED_MODEL_PARTS)
    if foreign or (names and "saved_model.pb" not in names):
        received = f"{path} with {', '.join((foreign or sorted(names))[:3])}"
        raise ValueError(path_message("not hold other files", expected, received))
    return _not_keras(target)


def _not_keras(target: Path) -> Path:
    """Returns the place of an export, unless it is named like a file of Keras' own."""
    if target.suffix.lower() in (".keras", ".h5"):
        expected = "a file that ends in .tflite, or a folder for a SavedModel"
        mend = "Use model.save, or callbacks.StudentCheckpoint, for Keras' own files"
        raise ValueError(path_message("name what is exported", expected, target.name, mend))
    return target


def _target(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike):
        mend = "Pass the model first, then the path"
        raise TypeError(path_message("be a path", "a str or pathlib.Path", shown(path), mend))
    target = Path(path).resolve()  # what a link leads to is replaced, not the link
    try:
        os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        received = f"{str(path)[:80]} ({error.strerror})"
        raise ValueError(
            path_message("be one that the system takes", "such a path", received)
        ) from error
    if not target.parent.is_dir():
        received = f"{path}, whose folder does not exist"
        raise ValueError(path_message("lie in a folder", "an existing folder", received))
    return target


def publish_folder(new: Path, target: Path) -> None:
    """Moves the finished folder `new` to `target`; what was there goes, or on failure stays.

    Between two renames there is no folder at `target`. Another export may put its own there then:
    that one goes, too, so that the last to finish stays.
    """
    old = new.with_name(REPLACED) / target.name
    old.parent.mkdir()
    try:
        for attempts_left in reversed(range(_ATTEMPTS)):
            _move_away(target, old)
            try:
                return _files.put(new, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not attempts_left:
                    raise
    except BaseException:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise


def _move_away(target: Path, old: Path) -> None:
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):  # another export moved it
            os.replace(target, old)
