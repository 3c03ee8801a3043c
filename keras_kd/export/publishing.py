"""Nothing half-written is seen: work beside the target, then one rename into place."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_kd._errors import message

try:
    import fcntl
except ImportError:  # Windows, where orphans are left to the user
    fcntl = None

_PREFIX, _REPLACED = ".keras_kd-", "replaced"
_ATTEMPTS = 10
# Lies in each workspace: a folder without it is not ours, whatever its name.
_MARKER = ".keras_kd-workspace"
_SAVED_MODEL_PARTS = {"assets", "assets.extra", "fingerprint.pb", "saved_model.pb", "variables"}


def file_target(path: str | os.PathLike[str]) -> Path:
    """Returns `path` as the absolute place of a file.

    Raises:
        TypeError: If `path` is not a path.
        ValueError: If a folder or a Keras model is there already, or no folder to put it in.
    """
    target = _target(path)
    if target.is_dir():
        raise ValueError(_place_message("name a file", "a file's path", f"the folder {path}"))
    if _is_keras_model(target):
        expected = "a new path, or a .tflite file to replace"
        raise ValueError(_place_message("not be a Keras model's", expected, f"the file {path}"))
    return target


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
        ValueError: If something else than a SavedModel is there, or no folder to put it in.
    """
    target = _target(path)
    expected = "a new path, an empty folder or a SavedModel to replace"
    if target.exists() and not target.is_dir():
        raise ValueError(_place_message("name a folder", expected, f"the file {path}"))
    names = {entry.name for entry in target.iterdir()} if target.exists() else set()
    foreign = sorted(names - _SAVED_MODEL_PARTS)
    if foreign or (names and "saved_model.pb" not in names):
        received = f"{path} with {', '.join((foreign or sorted(names))[:3])}"
        raise ValueError(_place_message("not hold other files", expected, received))
    return target


def _target(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(_place_message("be a path", "a str or pathlib.Path", repr(path)))
    target = Path(path).resolve()  # what a link leads to is replaced, not the link
    try:
        os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        received = f"{str(path)[:80]} ({error.strerror})"
        raise ValueError(
            _place_message("be one that the system takes", "such a path", received)
        ) from error
    if not target.parent.is_dir():
        received = f"{path}, whose folder does not exist"
        raise ValueError(_place_message("lie in a folder", "an existing folder", received))
    return target


def _place_message(rule: str, expected: str, received: str) -> str:
    mend = "Choose another path or create its folder first"
    return message(f"path must {rule}", expected=expected, received=received, mend=mend)


@contextlib.contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """Opens a temporary folder beside `target`, on its file system, and always removes it.

    Folders that killed processes left there go first.

    Raises:
        ValueError: If the folder of `target` cannot be written.
    """
    try:
        _remove_orphans(target.parent)
        folder, lock = _locked_folder(target.parent)
    except OSError as error:
        received = f"{target.parent} ({error.strerror})"
        raise ValueError(
            _place_message("lie in a folder that can be written", "such a folder", received)
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _locked_folder(parent: Path) -> tuple[Path, int | None]:
    """Makes a folder whose lock the system drops when this process ends, however it ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        if fcntl is None:
            return folder, None
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            (folder / _MARKER).touch()
            return folder, lock
        os.close(lock)  # taken for an orphan before it was locked


def _remove_orphans(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*") if fcntl else ():
        if not (folder / _MARKER).exists():
            continue
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # gone meanwhile, or not ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # an export at work
        else:
            _restore(folder, parent)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _restore(folder: Path, parent: Path) -> None:
    """Puts back what was to be replaced when the process was killed between two renames."""
    for old in (folder / _REPLACED).glob("*"):
        if not (parent / old.name).exists():
            os.replace(old, parent / old.name)


def publish_folder(new: Path, target: Path) -> None:
    """Moves the finished folder `new` to `target`; what was there goes, or on failure stays.

    Between two renames there is no folder at `target`. Another export may put its own there then:
    that one goes, too, so that the last to finish stays.
    """
    old = new.with_name(_REPLACED) / target.name
    old.parent.mkdir()
    try:
        for attempts_left in reversed(range(_ATTEMPTS)):
            _move_away(target, old)
            try:
                return os.replace(new, target)
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
