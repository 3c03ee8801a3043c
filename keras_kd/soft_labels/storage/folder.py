"""The folder that holds soft labels: its manifest and its shards."""

import contextlib
import errno
import hashlib
import itertools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import message, refusal, wrong
from keras_kd.soft_labels.storage import files, manifest, shards
from keras_kd.soft_labels.storage.layout import Layout
from keras_kd.soft_labels.storage.records import Record, record_type

__all__ = ["Folder", "layout_of", "path_of", "read", "stored"]

_CHECKSUM = re.compile(r"[0-9a-f]{64}")


class Folder:
    """A folder of soft labels that is being written, by one writer or by several.

    Whoever comes first writes the manifest; all others must write the same labels. Shards carry
    the name of their labels, `manifest.run`, so that none of others gets in.

    Args:
        directory: Where it is; made where it is missing.
        content: Its manifest's content, without shards.

    Raises:
        ValueError: If other labels, or other files' arrays, are there already.
        OSError: If it is not a folder.
    """

    def __init__(self, directory: str | os.PathLike[str], content: dict[str, Any]):
        self.path = Path(directory).absolute()
        self.content = content
        _make(self.path)
        self._adopt(_manifest(self.path))

    @property
    def _run(self) -> str | None:
        return manifest.run(self.content)

    def missing(self, numbers: range) -> list[int]:
        """Returns those of the shards that are not there whole; tidies up after killed writers.

        Raises:
            ValueError: If another writer has begun other labels.
            PermissionError: If there is something to write, and the folder may not be written.
        """
        damaged = shards.damaged(self.path, self._run, numbers)
        lost = set(numbers) - shards.found(self.path, self._run).keys()
        if lost or damaged or self.content["shards"] is None:
            _check_writable(self.path)
            with files.locked(self.path):
                self._begin()
                files.remove_unfinished(self.path, map(shards.name_start, numbers))
                # Looked at again: another writer may have replaced them since.
                for number in shards.damaged(self.path, self._run, damaged):
                    shards.remove(self.path, number)
        there = shards.found(self.path, self._run)
        return [number for number in numbers if number not in there]

    def shards(self) -> tuple[int, shards.Shards] | None:
        """Returns the number of a shard that is there, and the shards; `None` without any."""
        there = shards.found(self.path, self._run)
        return (min(there), _shards(self.path, self.content, there)) if there else None

    def store(self, number: int, records: np.ndarray) -> None:
        """Writes a shard, unless somebody else has meanwhile.

        Raises:
            ValueError: If the folder holds other labels by now, or none.
        """

        def place(unfinished: Path, path: Path) -> None:
            with files.locked(self.path):
                self._adopt(self._own_manifest())
                if number not in shards.found(self.path, self._run):
                    os.replace(unfinished, path)

        data = shards.to_bytes(records)
        name = shards.shard_name(number, self._run, hashlib.sha256(data).hexdigest())
        files.write_file(self.path, name, data, place)

    def seal(self) -> bool:
        """Writes down the checksums once all shards are there; returns whether they are.

        Raises:
            ValueError: If the folder holds other labels by now, or none.
        """
        with files.locked(self.path):
            self._adopt(self._own_manifest())
            there = shards.found(self.path, self._run)
            count = layout_of(self.content).shards
            if any(number not in there for number in range(count)):
                return False
            listed = [there[number] for number in range(count)]
            _check_listed(self.path, there, listed)
            if listed != self.content["shards"]:
                self.content = {**self.content, "shards": listed}
                files.remove_unfinished(self.path, [manifest.NAME])
                files.write_file(self.path, manifest.NAME, manifest.to_bytes(self.content))
        return True

    def _begin(self) -> None:
        """Writes the manifest, unless somebody else has: then the labels must be the same."""
        if _manifest(self.path) is None:
            data = manifest.to_bytes(self.content)
            with contextlib.suppress(FileExistsError):
                files.write_file(self.path, manifest.NAME, data, files.place_new)
        self._adopt(self._own_manifest())

    def _own_manifest(self) -> dict[str, Any]:
        there = _manifest(self.path)
        if there is None:
            raise refusal(
                f"The folder {self.path} must keep its manifest while labels are written",
                expected=manifest.NAME,
                received="none",
                mend="Call SoftLabels.write again, and let nothing else tidy up there",
            )
        return there

    def _adopt(self, there: dict[str, Any] | None) -> None:
        """Goes on with the manifest that is there; raises where it is of other labels."""
        if there is not None:
            _check_same(self.content, there, self.path)
            self.content = there


def path_of(directory: Any) -> Path:
    """Returns a folder's path.

    Raises:
        TypeError: If it is something else.
        ValueError: If it is empty, or no system takes it.
    """
    path = os.fspath(directory) if isinstance(directory, str | os.PathLike) else None
    if isinstance(path, str) and path and "\0" not in path:
        return Path(path)
    error = ValueError if isinstance(path, str) else TypeError
    expected = "a folder's path, a str or pathlib.Path"
    raise wrong(
        "directory", "be a path", directory, expected=expected, example="labels/", error=error
    )


def read(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the content of a finished folder's manifest, with its shards' checksums.

    Raises:
        FileNotFoundError: If there is no manifest.
        ValueError: If it is damaged or newer, or the shards are not all there, or others are.
    """
    folder = Path(directory).absolute()
    content = _manifest(folder)
    if content is None:
        raise FileNotFoundError(
            message(
                f"{directory} must be a folder of soft labels",
                expected=f"a folder with {manifest.NAME}",
                received="none",
                mend="Write it with SoftLabels.write(directory, teacher=..., data=...)",
            )
        )
    count, there = layout_of(content).shards, shards.found(folder, manifest.run(content))
    lost = count - sum(number < count for number in there)
    if lost:
        first = itertools.islice((n for n in itertools.count() if n not in there), min(lost, 5))
        more = f" and {lost - 5} more" if lost > 5 else ""
        raise refusal(
            f"The soft labels in {directory} must be complete",
            expected=f"{count} shards",
            received=f"{lost} missing: {', '.join(map(str, first))}{more}",
            mend="Call SoftLabels.write as you did before: it goes on with what is missing",
        )
    listed = content["shards"] or [there[number] for number in range(count)]
    _check_listed(folder, there, listed)
    return {**content, "shards": listed}


def stored(directory: Path, content: dict[str, Any]) -> shards.Shards:
    """Returns the shards of a finished folder, of which `read` has returned the content."""
    return _shards(directory, content, dict(enumerate(content["shards"])))


def layout_of(content: dict[str, Any]) -> Layout:
    """Returns the layout that a manifest names."""
    return Layout(content["samples"], content["views"], content["samples_per_shard"])


def _shards(directory: Path, content: dict[str, Any], there: dict[int, str]) -> shards.Shards:
    layout = layout_of(content)
    shapes = {number: layout.shape(number) for number in there}
    kind = record_type({name: Record.from_json(r) for name, r in content["signals"].items()})
    return shards.Shards(directory, manifest.run(content), there, shapes, kind)


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Returns the content of a folder's manifest, `None` where there is none."""
    path = folder / manifest.NAME
    try:
        with files.opened(path) as file:
            data = file.read(manifest.LARGEST)
    except FileNotFoundError:
        return None
    return manifest.from_bytes(data, path)


def _check_listed(folder: Path, there: dict[int, str], listed: list[str]) -> None:
    """Raises where a folder's shards are not those that its manifest lists."""
    wrong = [n for n, checksum in there.items() if n >= len(listed) or checksum != listed[n]]
    listed_all = len(listed) <= len(there) and all(map(_CHECKSUM.fullmatch, listed))
    if wrong or not listed_all:
        raise refusal(
            f"The shards in {folder} must be those that its manifest names",
            expected="the files that were written with it",
            received=f"others as numbers {wrong[:5]}" if wrong else "names of other files",
            mend="Restore the folder from a copy, or write the labels again",
        )


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(*_no_folder(path, error.errno, error.strerror)) from error


def _check_writable(path: Path) -> None:
    if not os.access(path, os.W_OK | os.X_OK):
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
        raise refusal(
            f"The folder {path} must hold no other labels than those that are written",
            expected="a folder without labels, or one that the same call has begun",
            received=f"labels that differ in {', '.join(others)}",
            mend="Write into another folder, or go on with the arguments of the first time",
        )
