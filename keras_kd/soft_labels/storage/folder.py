"""The folder that holds soft labels: its manifest and its shards."""

import contextlib
import errno
import itertools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import message
from keras_kd.soft_labels.storage import manifest, shards
from keras_kd.soft_labels.storage.layout import Layout

_CHECKSUM = re.compile(r"[0-9a-f]{64}")


class Folder:
    """A folder of soft labels that is being written.

    Args:
        directory: Where it is; made where it is missing.
        content: Its manifest's content, without shards.

    Raises:
        ValueError: If other labels, or other files' arrays, are there already.
    """

    def __init__(self, directory: str | os.PathLike[str], content: dict[str, Any]):
        self.path = Path(directory)
        _make(self.path)
        self._manifest = self.path / manifest.NAME
        if self._manifest.exists():
            there = manifest.from_bytes(self._manifest.read_bytes(), self._manifest)
            _check_same(content, there, self.path)
            content = there
        self.content = content
        self._layout = layout_of(content)

    def missing(self, numbers: range) -> list[int]:
        """Returns those of the shards that are not there whole; tidies up after killed writers."""
        shards.remove_unfinished(self.path, map(shards.numbered, numbers))
        shards.remove_damaged(self.path, numbers)
        there = shards.found(self.path)
        if not self._manifest.exists():
            self._write_manifest()
        return [number for number in numbers if number not in there]

    def shards(self, record: np.dtype) -> tuple[int, shards.Shards] | None:
        """Returns the number of a shard that is there, and the shards; `None` without any."""
        there = shards.found(self.path)
        if not there:
            return None
        shapes = {number: self._layout.shape(number) for number in there}
        return min(there), shards.Shards(self.path, there, shapes, record)

    def store(self, number: int, records: np.ndarray) -> None:
        """Writes a shard, unless somebody else has meanwhile."""
        if not any(self.path.glob(f"{shards.numbered(number)}-*.npy")):
            shards.write_shard(self.path, number, records)

    def seal(self) -> bool:
        """Writes down the checksums once all shards are there; returns whether they are."""
        there = shards.found(self.path)
        if len(there) < self._layout.shards:
            return False
        shards.remove_unfinished(self.path, [manifest.NAME])
        self.content = {**self.content, "shards": [there[n] for n in range(self._layout.shards)]}
        self._write_manifest()
        return True

    def _write_manifest(self) -> None:
        # Whoever has sealed the folder meanwhile has written the same, and tidied up.
        with contextlib.suppress(FileNotFoundError):
            shards.write_file(self.path, manifest.NAME, manifest.to_bytes(self.content))


def read(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the content of a finished folder's manifest, with its shards' checksums.

    Raises:
        FileNotFoundError: If there is no manifest.
        ValueError: If it is damaged or newer, or the shards are not all there, or others are.
    """
    path = Path(directory) / manifest.NAME
    if not path.is_file():
        raise FileNotFoundError(
            message(
                f"{directory} must be a folder of soft labels",
                expected=f"a folder with {manifest.NAME}",
                received="none",
                mend="Write it with SoftLabels.write(directory, teacher=..., data=...)",
            )
        )
    content = manifest.from_bytes(path.read_bytes(), path)
    layout, there = layout_of(content), shards.found(path.parent)
    lost = layout.shards - sum(number < layout.shards for number in there)
    if lost:
        first = itertools.islice((n for n in itertools.count() if n not in there), min(lost, 5))
        more = f" and {lost - 5} more" if lost > 5 else ""
        raise ValueError(
            message(
                f"The soft labels in {directory} must be complete",
                expected=f"{layout.shards} shards",
                received=f"{lost} missing: {', '.join(map(str, first))}{more}",
                mend="Call SoftLabels.write with the arguments of the first time: it goes on with "
                "what is missing",
            )
        )
    listed = content["shards"] or [there[number] for number in range(layout.shards)]
    wrong = [n for n, checksum in there.items() if n >= len(listed) or checksum != listed[n]]
    if wrong or not all(_CHECKSUM.fullmatch(checksum) for checksum in listed):
        raise ValueError(
            message(
                f"The shards in {directory} must be those that its manifest names",
                expected="the files that were written with it",
                received=f"others as numbers {wrong[:5]}",
                mend="Restore the folder from a copy, or write the labels again",
            )
        )
    return {**content, "shards": listed}


def layout_of(content: dict[str, Any]) -> Layout:
    """Returns the layout that a manifest names."""
    return Layout(content["samples"], content["views"], content["samples_per_shard"])


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        unwritable = not os.access(path, os.W_OK | os.X_OK)
    except OSError as error:
        raise type(error)(*_no_folder(path, error.errno, error.strerror)) from error
    if unwritable:
        raise PermissionError(*_no_folder(path, errno.EACCES, "a folder that may not be written"))


def _no_folder(path: Path, number: int | None, received: str | None) -> tuple[int | None, str]:
    return number, message(
        f"directory {str(path)!r} must be a folder that can be written",
        expected="a folder, or a path where one can be made",
        received=f"{received}",
        mend="Pass another path",
    )


def _check_same(wanted: dict[str, Any], there: dict[str, Any], path: Path) -> None:
    others = manifest.differences(wanted, there)
    if others:
        raise ValueError(
            message(
                f"The folder {path} must hold no other labels than those that are written",
                expected="a folder without labels, or one that the same call has begun",
                received=f"labels that differ in {', '.join(others)}",
                mend="Write into another folder, or go on with the arguments of the first time",
            )
        )
