import errno
import os

import pytest

from keras_kd import _files


def test_a_file_is_written_once_and_put_in_place(tmp_path):
    new, path = tmp_path / "new", tmp_path / "name"
    path.write_bytes(b"old")
    _files.write(new, b"data")
    with pytest.raises(FileExistsError):
        _files.write(new, b"others")
    assert path.read_bytes() == b"old"
    _files.put(new, path)
    assert path.read_bytes() == b"data"
    assert os.listdir(tmp_path) == ["name"]


def test_the_caller_may_say_how_it_is_placed(tmp_path):
    new, path = tmp_path / "new", tmp_path / "name"
    _files.write(new, b"data")
    _files.put(new, path, os.link)
    assert new.samefile(path)


def test_what_a_full_disk_raises():
    assert errno.ENOSPC in _files.FULL_DISK


def test_what_is_missing_is_said_with_what_is_beside_it(tmp_path):
    (tmp_path / "student.tflite").touch()
    assert _files.existing(tmp_path, "a folder") == tmp_path
    beside = r"path must name a .tflite file\..*students.tflite, where nothing is.*'student.tflite'"
    with pytest.raises(FileNotFoundError, match=beside):
        _files.existing(str(tmp_path / "students.tflite"), "a .tflite file")
    with pytest.raises(FileNotFoundError, match=f"in {tmp_path}, nothing is called alike"):
        _files.existing(tmp_path / "no" / "such", "a folder")
