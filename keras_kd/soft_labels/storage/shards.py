"""Shards of answers: how their files are named, found, verified and read."""

import hashlib
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import refusal
from keras_kd.soft_labels.storage import files
from keras_kd.soft_labels.storage.layout import Layout

__all__ = ["Shards", "damaged", "found", "gather", "name_start", "remove", "shard_name", "to_bytes"]

_NAME = re.compile(r"shard-(\d{6})-(?:([0-9a-f]{16})-)?([0-9a-f]{64})\.npy")
# Labels of up to so many bytes are read into memory, where nothing can change them any more.
_HELD = 2**28


def to_bytes(records: np.ndarray) -> bytes:
    """Returns the file of a shard's records."""
    buffer = io.BytesIO()
    np.save(buffer, records, allow_pickle=False)
    return buffer.getvalue()


def shard_name(number: int, run: str | None, checksum: str) -> str:
    """Returns the name of a shard's file.

    Args:
        number: The shard's number.
        run: The labels that it is part of, as `manifest.run` names them.
        checksum: The SHA-256 of its content.
    """
    return "-".join([name_start(number), *([run] if run else []), f"{checksum}.npy"])


def name_start(number: int) -> str:
    """Returns how the name of a shard's file begins."""
    return f"shard-{number:06d}"


def found(folder: Path, run: str | None) -> dict[int, str]:
    """Returns the checksums of a folder's shards by number, as their names give them.

    Raises:
        ValueError: If there is an array of another name or of other labels, or a shard twice.
    """
    checksums: dict[int, str] = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or not name.endswith(".npy"):
            continue
        match = _NAME.fullmatch(name)
        if match is None or match[2] != run:
            raise _foreign(folder, name)
        number = int(match[1])
        if number in checksums:
            raise _foreign(folder, f"{shard_name(number, run, checksums[number])} and {name}")
        checksums[number] = match[3]
    return checksums


def _foreign(folder: Path, received: str) -> ValueError:
    return refusal(
        f"The folder {folder} must hold each shard of its labels once, and no others",
        expected="files as SoftLabels.write has named them for these labels",
        received=received,
        mend="Remove copies and shards of other labels, or write again into an empty folder",
    )


def damaged(folder: Path, run: str | None, numbers: Iterable[int]) -> list[int]:
    """Returns those of the shards whose files do not have the checksums of their names."""
    checksums = found(folder, run)
    there = [number for number in numbers if number in checksums]
    return [n for n in there if not _is_intact(folder / shard_name(n, run, checksums[n]))]


def remove(folder: Path, number: int) -> None:
    """Removes the files of a shard."""
    for path in folder.glob(f"{name_start(number)}-*.npy"):
        path.unlink(missing_ok=True)


def _is_intact(path: Path) -> bool:
    try:
        return path.name.endswith(f"-{files.checksum(path)}.npy")
    except FileNotFoundError:  # another writer has removed it, and it is missing now
        return True


class Shards:
    """Answers on disk, each shard verified before its first use.

    Args:
        folder: Where they are.
        run: The labels that they are part of, as `manifest.run` names them.
        checksums: SHA-256 of each shard's file, by number.
        shapes: Shape of each shard's array, `(samples, views)`, by number.
        record: NumPy type of an answer.
    """

    def __init__(
        self,
        folder: Path,
        run: str | None,
        checksums: dict[int, str],
        shapes: dict[int, tuple[int, int]],
        record: np.dtype,
    ):
        self._folder, self._run = folder, run
        self._checksums, self._shapes, self._record = checksums, shapes, record
        self._held = sum(map(self._size, shapes)) <= _HELD
        self._open: dict[int, np.ndarray] = {}

    def __getitem__(self, number: int) -> np.ndarray:
        """Returns the records of a shard: read, or of large labels mapped into memory.

        Raises:
            ValueError: If the file is damaged, or a mapped one has become shorter since.
        """
        if number not in self._open:
            self._open[number] = self._verified(number)
        elif not self._held:
            self._check_mapped(number)
        return self._open[number]

    def _size(self, number: int) -> int:
        rows, views = self._shapes[number]
        return rows * views * self._record.itemsize

    def _path(self, number: int) -> Path:
        return self._folder / shard_name(number, self._run, self._checksums[number])

    def _verified(self, number: int) -> np.ndarray:
        path = self._path(number)
        try:
            if self._held:
                with files.opened(path) as file:
                    data = file.read()
                found = hashlib.sha256(data).hexdigest()
            else:
                data, found = None, files.checksum(path)
        except FileNotFoundError as error:
            raise _wrong(path, "no such file", "Call") from error
        if found != self._checksums[number]:
            raise _wrong(path, "a damaged or exchanged file")
        # The checksum stands for the content, not for who has made it.
        try:
            records = (
                np.lib.format.open_memmap(path, mode="r")
                if data is None
                else np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
            )
        except Exception as error:  # whatever a header can make of NumPy's parser
            raise _wrong(path, f"no plain array ({error})") from error
        if records.dtype != self._record or records.shape != self._shapes[number]:
            raise _wrong(path, f"records {records.dtype} of shape {records.shape}")
        if not records.flags.c_contiguous:
            raise _wrong(path, "records in Fortran's order")
        return records.view(np.ndarray)

    def _check_mapped(self, number: int) -> None:
        """Raises where a file has become shorter: reading it would end the process (SIGBUS)."""
        path = self._path(number)
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            return  # what is mapped stays
        if size < self._size(number):
            raise _wrong(path, f"a file that was cut to {size:,} bytes")


def _wrong(path: Path, received: str, mend: str = "Delete it and call") -> ValueError:
    return refusal(
        f"Shard {path} must be as it was written",
        expected="the file with the checksum in its name",
        received=received,
        mend=f"{mend} SoftLabels.write as you did before: it writes what is missing",
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
