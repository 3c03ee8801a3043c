"""Shards that somebody has made by hand, cut off or exchanged for something that is no file."""

import hashlib
import io
import os
import socket

import numpy as np
import pytest

from keras_kd.soft_labels.storage import shards
from keras_kd.soft_labels.storage.layout import Layout
from keras_kd.soft_labels.storage.records import Record, record_type

TYPE = record_type({"output": Record((3,))})
RUN = "0123456789abcdef"


def records(rows=4, views=2, dtype=TYPE):
    values = np.zeros((rows, views), dtype)
    values["output"] = np.arange(rows * views * 3).reshape(rows, views, 3)
    return values


def saved(array, save=np.save, **options):
    buffer = io.BytesIO()
    save(buffer, array, **options)
    return buffer.getvalue()


def placed(folder, data, run=RUN):
    """Returns shards of which the only one has a content, under the checksum of it."""
    checksum = hashlib.sha256(data).hexdigest()
    path = folder / shards.shard_name(0, run, checksum)
    path.write_bytes(data)
    return path, shards.Shards(folder, run, {0: checksum}, {0: (4, 2)}, TYPE)


def with_header(header):
    header = header.encode()
    return b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + bytes(8 * 7)


def header(descr=None, shape=(4, 2)):
    descr = repr(TYPE.descr) if descr is None else descr
    return with_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n")


@pytest.mark.parametrize("run", [RUN, None])
def test_what_was_written_is_read(tmp_path, run):
    _, stored = placed(tmp_path, shards.to_bytes(records()), run)
    np.testing.assert_array_equal(stored[0], records())
    assert shards.found(tmp_path, run).keys() == {0}


CRAFTED = {
    "empty": b"",
    "text": b"answers",
    "zip": saved(records(), lambda file, array: np.savez(file, array)),
    "objects": saved(np.array([{"a": 1}], object), allow_pickle=True),
    "floats": saved(np.zeros((4, 2), "float32")),
    "another order of bytes": saved(records(dtype=TYPE.newbyteorder(">"))),
    "fewer": saved(records(rows=3)),
    "flat": saved(records().reshape(-1)),
    "columns first": saved(np.asfortranarray(records())),
    "shorter than it says": shards.to_bytes(records())[:-1],
    "header that is too long": with_header("(" * 10**6),
    "header that is nested": with_header("(" * 5000),
    "header that is negated": with_header("-" * 9000 + "1"),
    "header without an end": b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
    "unknown version": b"\x93NUMPY\x09\x00" + shards.to_bytes(records())[8:],
    "huge": header(shape=(2**40, 2**20)),
    "negative": header(shape=(-4, 2)),
    "no shape": header(shape="'ab'"),
    "no type": header(descr="'nonsense'"),
}


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_shard_is_refused(tmp_path, monkeypatch, name, held):
    monkeypatch.setattr(shards, "_HELD", 2**28 if held else 0)
    path, stored = placed(tmp_path, CRAFTED[name])
    with pytest.raises(ValueError, match=rf"^Shard {path} must be as it was written\. Expected"):
        stored[0]


def stand(path, kind):
    """Puts something in the place of a file."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        os.symlink("/dev/zero", path)
    elif kind == "folder":
        os.mkdir(path)
    else:
        with socket.socket(socket.AF_UNIX) as named:
            named.bind("s")  # the name of a socket must be short
        os.rename("s", path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "socket"])
def test_what_is_not_a_file_is_refused_without_waiting(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path, stored = placed(tmp_path, shards.to_bytes(records()))
    path.unlink()
    stand(path, kind)
    words = rf"{path} must be a file that can be read"
    with pytest.raises(OSError if kind == "socket" else ValueError, match=words):
        stored[0]
    with pytest.raises(OSError if kind == "socket" else ValueError, match=words):
        shards.damaged(tmp_path, RUN, [0])


def test_links_to_files_are_followed(tmp_path):
    path, stored = placed(tmp_path, shards.to_bytes(records()))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    np.testing.assert_array_equal(stored[0], records())


def test_what_was_read_stays_when_the_file_is_cut(tmp_path):
    path, stored = placed(tmp_path, shards.to_bytes(records()))
    before = stored[0].copy()
    os.truncate(path, 150)
    np.testing.assert_array_equal(stored[0], before)


def test_a_mapped_file_that_is_cut_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_HELD", 0)
    path, stored = placed(tmp_path, shards.to_bytes(records()))
    np.testing.assert_array_equal(stored[0], records())
    os.truncate(path, 50)
    ids = np.zeros(1, int)
    with pytest.raises(ValueError, match=r"must be as it was written.*a file that was cut to 50"):
        shards.gather(stored, TYPE, Layout(4, 2, 4), ids, ids)


def test_a_mapped_file_may_be_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_HELD", 0)
    path, stored = placed(tmp_path, shards.to_bytes(records()))
    np.testing.assert_array_equal(stored[0], records())
    path.unlink()
    np.testing.assert_array_equal(stored[0], records())


def test_shards_of_other_labels_are_refused(tmp_path):
    path, _ = placed(tmp_path, shards.to_bytes(records()))
    words = rf"must hold each shard of its labels once.*Received: {path.name}"
    for run in ("0" * 16, None):
        with pytest.raises(ValueError, match=words):
            shards.found(tmp_path, run)


def test_of_a_shard_that_is_there_twice_both_files_are_named(tmp_path):
    first, _ = placed(tmp_path, b"a")
    second, _ = placed(tmp_path, b"b")
    with pytest.raises(
        ValueError, match="Received: {} and {}".format(*sorted([first.name, second.name]))
    ):
        shards.found(tmp_path, RUN)


def test_hidden_files_of_the_system_are_no_shards(tmp_path):
    path, _ = placed(tmp_path, shards.to_bytes(records()))
    (tmp_path / f"._{path.name}").write_bytes(b"what macOS keeps beside a file")
    assert shards.found(tmp_path, RUN).keys() == {0}
