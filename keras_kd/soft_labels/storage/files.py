"""Files that are there whole or not at all, in a folder that several writers share."""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from keras_kd import _files
from keras_kd._errors import message

__all__ = ["checksum", "locked", "opened", "place_new", "remove_unfinished", "write_file"]

_UNFINISHED = ".unfinished-"
# Each writer tidies up once, so that many writers may begin while a file is being written.
_TRIES = 20


def opened(path: Path) -> BinaryIO:
    """Opens a file for reading; never waits, as the open of a FIFO would.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not a regular file.
        OSError: If it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except OSError as error:
        raise type(error)(error.errno, _unreadable(path, error.strerror)) from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise ValueError(_unreadable(path, "a folder, pipe or device"))


def _unreadable(path: Path, received: str | None) -> str:
    return message(
        f"{path} must be a file that can be read",
        received=f"{received}",
        mend="Remove what stands there and call SoftLabels.write again, or restore a copy",
    )


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file; raises as `opened` does."""
    digest = hashlib.sha256()
    with opened(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds off other writers of a folder; a writer that dies lets go."""
    with contextlib.ExitStack() as stack:
        # Windows and some network file systems have no such lock. Two writers of one shard can
        # meet there, and then the folder is refused.
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def write_file(
    folder: Path, name: str, data: bytes, place: Callable[[Path, Path], object] = os.replace
) -> None:
    """Writes a file that appears whole or not at all, on disk before it has its name.

    Args:
        folder: Where to.
        name: Its name.
        data: Its content.
        place: Gives the finished file, the first argument, its path, the second.

    Raises:
        OSError: If it cannot be written, as when the disk is full; nothing is left behind.
    """
    for _ in range(_TRIES):
        unfinished = folder / f"{_UNFINISHED}{name}-{secrets.token_hex(8)}"
        try:
            _files.write(unfinished, data)
            _files.put(unfinished, folder / name, place)
            return
        except FileNotFoundError:
            if not folder.is_dir():
                break
            # else: another writer took it for what a killed one has left
        except OSError as error:
            if error.errno not in _files.FULL_DISK:
                raise
            raise OSError(error.errno, _full(folder, name, data, error.strerror)) from error
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink()
    raise FileNotFoundError(
        errno.ENOENT,
        message(
            f"The folder {folder} must stay while labels are written into it",
            expected=f"a folder that keeps {name}",
            received="a file that vanishes while it is written",
            mend="Call SoftLabels.write again, and let nothing else tidy up there",
        ),
    )


def place_new(unfinished: Path, path: Path) -> None:
    """Gives a finished file its path where nothing stands there yet.

    Raises:
        FileExistsError: If something does.
    """
    try:
        os.link(unfinished, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # no hard links: those who read it again see who was the last
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(unfinished, path)


def remove_unfinished(folder: Path, names: Iterable[str]) -> None:
    """Removes what killed writers of some files have left; `names` are how those files begin."""
    beginnings = tuple(f"{_UNFINISHED}{name}" for name in names)
    for name in os.listdir(folder):
        if name.startswith(beginnings):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder / name)


def _full(folder: Path, name: str, data: bytes, received: str | None) -> str:
    return message(
        f"Soft labels must fit on the disk that holds {folder}",
        expected=f"{len(data):,} bytes for {name}",
        received=f"{received}",
        mend="Make room and call write again: it goes on after the last finished shard",
    )
