"""Files of answers: whole or not at all, each under the checksum of its content."""

import contextlib
import errno
import hashlib
import io
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import message
from keras_kd.soft_labels.storage.layout import Layout

_NAME = re.compile(r"shard-(\d{6})-([0-9a-f]{64})\.npy")
_UNFINISHED = ".unfinished-"


def write_file(folder: Path, name: str, data: bytes) -> None:
    """Writes a file that appears whole or not at all, on disk before it has its name.

    Raises:
        OSError: If it cannot be written, as when the disk is full; nothing is left behind.
    """
    unfinished = folder / f"{_UNFINISHED}{name}-{secrets.token_hex(8)}"
    try:
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, folder / name)
        _keep_names(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OSError(
            error.errno,
            message(
                f"Soft labels must fit on the disk that holds {folder}",
                expected=f"{len(data):,} bytes for {name}",
                received=error.strerror,
                mend="Make room and call write again: it goes on after the last finished shard",
            ),
        ) from error


def _keep_names(folder: Path) -> None:
    """Puts the names of a folder's files on disk, too, where the system can do that."""
    with contextlib.suppress(OSError):  # Windows opens no folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_unfinished(folder: Path, names: Iterable[str]) -> None:
    """Removes what killed writers of some files have left; `names` are how those files begin."""
    for name in names:
        for path in folder.glob(f"{_UNFINISHED}{name}*"):
            path.unlink(missing_ok=True)


def write_shard(folder: Path, number: int, records: np.ndarray) -> None:
    """Writes the records of one shard."""
    buffer = io.BytesIO()
    np.save(buffer, records, allow_pickle=False)
    data = buffer.getvalue()
    write_file(folder, shard_name(number, hashlib.sha256(data).hexdigest()), data)


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove_damaged(folder: Path, numbers: Iterable[int]) -> None:
    """Removes those of the shards that do not have the checksum of their names."""
    checksums = found(folder)
    for number in numbers:
        path = folder / shard_name(number, checksums.get(number, ""))
        if number in checksums and checksum(path) != checksums[number]:
            path.unlink()


def numbered(number: int) -> str:
    """Returns how the name of a shard's file begins."""
    return f"shard-{number:06d}"


def shard_name(number: int, checksum: str) -> str:
    """Returns the name of a shard's file."""
    return f"{numbered(number)}-{checksum}.npy"


def found(folder: Path) -> dict[int, str]:
    """Returns the checksums of a folder's shards by number, as their names give them.

    Raises:
        ValueError: If there is an array of another name, or a shard twice.
    """
    checksums: dict[int, str] = {}
    for path in sorted(folder.glob("*.npy")):
        match = _NAME.fullmatch(path.name)
        number = int(match[1]) if match else None
        if match is None or number in checksums:
            raise ValueError(
                message(
                    f"The folder {folder} must hold each shard of its labels once, and no others",
                    expected="files as SoftLabels.write has named them",
                    received=path.name,
                    mend="Remove the copy, or write the labels again into an empty folder",
                )
            )
        checksums[number] = match[2]
    return checksums


class Shards:
    """Answers on disk, each shard verified before its first use.

    Args:
        folder: Where they are.
        checksums: SHA-256 of each shard's file, by number.
        shapes: Shape of each shard's array, `(samples, views)`, by number.
        record: NumPy type of an answer.
    """

    def __init__(
        self,
        folder: Path,
        checksums: Sequence[str] | dict[int, str],
        shapes: Sequence[tuple] | dict[int, tuple],
        record: np.dtype,
    ):
        self._folder, self._checksums, self._shapes = folder, checksums, shapes
        self._record = record
        self._open: dict[int, np.ndarray] = {}

    def __getitem__(self, number: int) -> np.ndarray:
        """Returns the records of a shard, mapped into memory."""
        if number not in self._open:
            self._open[number] = self._verified(number)
        return self._open[number]

    def _verified(self, number: int) -> np.ndarray:
        path = self._folder / shard_name(number, self._checksums[number])
        try:
            intact = checksum(path) == self._checksums[number]
        except FileNotFoundError as error:
            raise _wrong(path, "no such file", "Call") from error
        if not intact:
            raise _wrong(path, "a damaged or exchanged file")
        # The checksum stands for the content, not for who has made it.
        try:
            records = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise _wrong(path, f"no plain array ({error})") from error
        if records.dtype != self._record or records.shape != self._shapes[number]:
            raise _wrong(path, f"records {records.dtype} of shape {records.shape}")
        return records.view(np.ndarray)


def _wrong(path: Path, received: str, mend: str = "Delete it and call") -> ValueError:
    return ValueError(
        message(
            f"Shard {path} must be as it was written",
            expected="the file with the checksum in its name",
            received=received,
            mend=f"{mend} SoftLabels.write with the arguments of the first time: it writes what is "
            "missing",
        )
    )


def gather(
    shards: Any, kind: np.dtype, layout: Layout, ids: np.ndarray, views: np.ndarray
) -> np.ndarray:
    """Returns the records, of type `kind`, of (sample, view) pairs in any order, `(len(ids),)`."""
    numbers, rows = np.divmod(ids, layout.samples_per_shard)
    order = np.argsort(numbers, kind="stable")
    numbers, places = numbers[order], (rows * layout.views + views)[order]
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    # NumPy copies plain bytes five times as fast as records.
    whole = np.dtype((np.void, kind.itemsize))
    found = np.empty(len(ids), whole)
    for start, stop in zip(starts, [*starts[1:], len(ids)]):
        records = shards[int(numbers[start])].reshape(-1).view(whole)
        records.take(places[start:stop], out=found[start:stop], mode="clip")
    result = np.empty_like(found)
    result[order] = found
    return result.view(kind)
