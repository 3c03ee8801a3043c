"""Files that appear whole or not at all, and stay when the power fails."""

import contextlib
import difflib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from keras_kd._errors import refusal

# A full disk, a full quota, and a limit on the size of files; Windows lacks some.
FULL_DISK = [getattr(errno, x) for x in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, x)]


def existing(path: str | os.PathLike[str], what: str) -> Path:
    """Returns the path of what must be there to be read.

    Args:
        path: The path.
        what: What it must name, e.g. `"a .tflite file"`.

    Raises:
        FileNotFoundError: If nothing is there.
    """
    path = Path(path)
    if path.exists():
        return path
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    close = difflib.get_close_matches(path.name, sorted(os.listdir(folder)), cutoff=0.5)
    mend = f"Look at the path: in {folder}, {close or 'nothing'} is called alike"
    received = f"{path}, where nothing is"
    rule, error = f"path must name {what}", FileNotFoundError
    raise refusal(rule, expected=what, received=received, mend=mend, error=error)


def write(path: Path, data: bytes) -> None:
    """Writes a new file, which is on the disk when this returns.

    Raises:
        FileExistsError: If there is one already.
        OSError: If it cannot be written.
    """
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def put(new: Path, path: Path, place: Callable[[Path, Path], object] | None = None) -> None:
    """Gives a finished file or folder its path, in one step.

    Args:
        new: The finished one, on the same file system.
        path: Where it is to be; a file there is replaced.
        place: Does it, given both; by default `os.replace`.
    """
    (place or os.replace)(new, path)
    # The name itself is on the disk only when the folder is; Windows opens no folders.
    with contextlib.suppress(OSError):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
