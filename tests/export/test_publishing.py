import errno
import os
import socket
from pathlib import Path

import keras
import pytest

from keras_kd.export import placing, publishing


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*"))


def saved_model(folder, text):
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text(text)
    (folder / "variables").mkdir()
    return folder


def test_relative_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert publishing.file_target("a.tflite") == tmp_path / "a.tflite"
    assert publishing.folder_target(Path("a")) == tmp_path / "a"


def test_a_file_may_be_replaced_but_not_a_folder(tmp_path):
    (tmp_path / "a").write_text("old")
    assert publishing.file_target(tmp_path / "a") == tmp_path / "a"
    with pytest.raises(ValueError, match="path must name a file"):
        publishing.file_target(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_what_is_no_regular_file_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("pipe", "link")
    kinds = {"pipe": "pipe", "link": "pipe", "socket": "socket", os.devnull: "device"}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path, kind in kinds.items():
            with pytest.raises(ValueError, match=f"must name a file.*Received: the {kind} "):
                publishing.file_target(path)
            with pytest.raises(ValueError, match=f"must name a folder.*Received: the {kind} "):
                publishing.folder_target(path)
    assert tree(tmp_path) == ["link", "pipe", "socket"]


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_keras_model_is_not_replaced(tmp_path, suffix):
    path = tmp_path / f"student.{suffix}"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save(path)
    with pytest.raises(ValueError, match=f"path must not be a Keras model's.*student.{suffix}"):
        publishing.file_target(path)


def test_a_saved_model_or_an_empty_folder_may_be_replaced(tmp_path):
    assert publishing.folder_target(tmp_path) == tmp_path
    old = saved_model(tmp_path / "old", "pb")
    assert publishing.folder_target(old) == old


@pytest.mark.parametrize("extra", ["notes.txt", "assets"])
def test_other_folders_and_files_are_refused(tmp_path, extra):
    (tmp_path / extra).write_text("mine")
    with pytest.raises(ValueError, match=f"path must not hold other files.*{extra}"):
        publishing.folder_target(tmp_path)
    with pytest.raises(ValueError, match="path must name a folder"):
        publishing.folder_target(tmp_path / extra)


def test_a_saved_model_beside_other_files_is_refused(tmp_path):
    old = saved_model(tmp_path / "old", "pb")
    (old / "labels.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"must not hold other files.*labels\.txt"):
        publishing.folder_target(old)


@pytest.mark.parametrize("target", [publishing.file_target, publishing.folder_target])
def test_the_folder_must_exist(tmp_path, target):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "missing" / "a", tmp_path / "file" / "a"):
        with pytest.raises(ValueError, match=r"path must lie in a folder.*does not exist"):
            target(path)
    with pytest.raises(TypeError, match="path must be a path"):
        target(3)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(placing.tempfile, "mkdtemp", refuse)
    with (
        pytest.raises(ValueError, match=r"folder that can be written.*Permission denied"),
        placing.workspace(tmp_path / "a"),
    ):
        pass


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_full_disk_is_an_os_error_whoever_finds_it(tmp_path, code, kind):
    words = f"/tmp/part-0; {os.strerror(code)}"

    def fail():
        with placing.workspace(tmp_path / "a"):
            raise OSError(code, os.strerror(code)) if kind is OSError else kind(words)

    with pytest.raises(
        OSError, match=rf"must fit on the disk.*Received: {os.strerror(code)}\. "
    ) as e:
        fail()
    assert e.value.errno == code
    assert tree(tmp_path) == []


def test_a_disk_without_room_for_a_folder(tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(placing.tempfile, "mkdtemp", refuse)
    with pytest.raises(OSError, match="must fit on the disk"), placing.workspace(tmp_path / "a"):
        pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_workspace_is_removed_whatever_happens(tmp_path, error):
    def fail():
        with placing.workspace(tmp_path / "a") as folder:
            (folder / "half").write_text("written")
            assert folder.parent == tmp_path
            raise error

    with pytest.raises(error):
        fail()
    assert tree(tmp_path) == []


def test_publish_replaces_the_old_folder(tmp_path):
    old = saved_model(tmp_path / "model", "old")
    with placing.workspace(old) as folder:
        publishing.publish_folder(saved_model(folder / "new", "new"), old)
    assert tree(tmp_path) == ["model", "model/saved_model.pb", "model/variables"]
    assert (old / "saved_model.pb").read_text() == "new"


def test_the_old_folder_comes_back_when_the_move_fails(tmp_path, monkeypatch):
    old = saved_model(tmp_path / "model", "old")
    replace = os.replace

    def fail_on_the_new_one(source, target):
        if Path(source).name == "new":
            raise OSError("no space")
        replace(source, target)

    monkeypatch.setattr(publishing.os, "replace", fail_on_the_new_one)
    with pytest.raises(OSError, match="no space"), placing.workspace(old) as folder:
        publishing.publish_folder(saved_model(folder / "new", "new"), old)
    assert (old / "saved_model.pb").read_text() == "old"
    assert tree(tmp_path) == ["model", "model/saved_model.pb", "model/variables"]


def test_what_a_link_leads_to_is_replaced_not_the_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "student.tflite").symlink_to(tmp_path / "real" / "student.tflite")
    assert publishing.folder_target(tmp_path / "link") == tmp_path / "real"
    assert publishing.file_target(tmp_path / "student.tflite").parent == tmp_path / "real"


def test_a_name_that_is_too_long(tmp_path):
    for target in (publishing.file_target, publishing.folder_target):
        with pytest.raises(ValueError, match="path must be one that the system takes"):
            target(tmp_path / ("a" * 300))


def test_another_export_that_comes_between_is_replaced(tmp_path, monkeypatch):
    new, target = tmp_path / "work" / "new", tmp_path / "target"
    real, intruders = publishing.os.replace, [1, 2]
    new.mkdir(parents=True)
    (new / "mine").touch()
    target.mkdir()
    (target / "old").touch()

    def replace(source, place):
        if place == target and intruders:
            target.mkdir()
            (target / f"theirs {intruders.pop()}").touch()
        return real(source, place)

    monkeypatch.setattr(publishing.os, "replace", replace)
    publishing.publish_folder(new, target)
    assert tree(target) == ["mine"]
