"""Nothing half-written is seen: exports are made in a workspace beside their target.

A killed process leaves its workspace behind, and the next one removes it. Others may be able to
write into the folder that it lies in. So nothing here follows a link, orphans are handled through
folders that are held open, and a folder counts as a workspace only if it belongs to this user, who
alone may enter it.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_kd._errors import message
from keras_kd._files import FULL_DISK

__all__ = ["REPLACED", "path_message", "remove_orphans", "workspace"]

try:
    import fcntl
except ImportError:  # Windows, where orphans are left to the user
    fcntl = None

REPLACED = "replaced"
_PREFIX = ".keras_kd-"
# Lies in each workspace: a folder without it is not ours, whatever its name.
_MARKER = ".keras_kd-workspace"


@contextlib.contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """Opens a temporary folder beside `target`, on its file system, and always removes it.

    Folders that killed processes left there go first.

    Raises:
        ValueError: If the folder of `target` cannot be written.
        OSError: If the disk is full.
    """
    with _naming_a_full_disk(target):
        try:
            remove_orphans(target.parent)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=target.parent))
        except OSError as error:
            if error.errno in FULL_DISK:
                raise
            received = f"{target.parent} ({error.strerror})"
            raise ValueError(
                path_message("lie in a folder that can be written", "such a folder", received)
            ) from error
        with _claimed(folder):
            yield folder


@contextlib.contextmanager
def _naming_a_full_disk(target: Path) -> Iterator[None]:
    """Turns what TensorFlow, Keras and child processes raise on a full disk into an `OSError`."""
    try:
        yield
    except Exception as error:
        found = [code for code in FULL_DISK if os.strerror(code) in str(error)]
        if not found:
            raise
        full = OSError(
            message(
                "The export must fit on the disk; no file was left",
                expected=f"room in {target.parent} for the export and its calibration samples",
                received=os.strerror(found[0]),
                mend="Free space there, or choose another path",
            )
        )
        full.errno = found[0]
        raise full from error


def path_message(
    rule: str,
    expected: str,
    received: str,
    mend: str = "Choose another path or create its folder first",
) -> str:
    """Builds the error message about the path of an export."""
    return message(f"path must {rule}", expected=expected, received=received, mend=mend)


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Marks a new workspace, which no other export takes for an orphan, and removes it at the end.

    The system drops its lock when this process ends, however it ends.

    Args:
        folder: What `tempfile.mkdtemp` has made.
    """
    try:
        if fcntl is None:
            yield
            return
        with _opened(folder) as held:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Only now it can be taken for one.
            os.close(os.open(_MARKER, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=held))
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    _empty(held)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder) if fcntl is None else os.rmdir(folder)


def remove_orphans(parent: Path) -> None:
    """Removes the workspaces of killed processes; what resists is left as it is."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError), _opened(parent) as shared:
        for name in os.listdir(shared):
            if name.startswith(_PREFIX):
                with contextlib.suppress(OSError):  # no workspace, or one at work
                    _remove(name, shared)


def _remove(name: str, shared: int) -> None:
    with _opened(name, shared) as held:
        if not (_is_private(os.fstat(held)) and _is_marked(held)):
            return
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError), _opened(REPLACED, held) as replaced:
            _restore(replaced, shared)
        _empty(held)
    os.rmdir(name, dir_fd=shared)


def _is_private(status: os.stat_result) -> bool:
    mode = stat.S_IMODE(status.st_mode) & 0o777
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and mode == 0o700


def _is_marked(held: int) -> bool:
    status = _status(_MARKER, held)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _restore(replaced: int, shared: int) -> None:
    """Puts back the folder that was to be replaced when the process was killed in between."""
    for name in os.listdir(replaced):
        if stat.S_ISDIR(_status(name, replaced).st_mode) and not _exists(name, shared):
            os.rename(name, name, src_dir_fd=replaced, dst_dir_fd=shared)


def _empty(folder: int) -> None:
    for name in os.listdir(folder):
        if stat.S_ISDIR(_status(name, folder).st_mode):
            with _opened(name, folder) as held:
                _empty(held)
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _status(name: str, folder: int) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _exists(name: str, folder: int) -> bool:
    try:
        _status(name, folder)
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def _opened(folder: str | Path, within: int | None = None) -> Iterator[int]:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
    try:
        yield held
    finally:
        os.close(held)
