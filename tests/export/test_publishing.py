import os
from pathlib import Path

import keras
import pytest

from keras_kd.export import publishing


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

    monkeypatch.setattr(publishing.tempfile, "mkdtemp", refuse)
    with (
        pytest.raises(ValueError, match=r"folder that can be written.*Permission denied"),
        publishing.workspace(tmp_path / "a"),
    ):
        pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_workspace_is_removed_whatever_happens(tmp_path, error):
    def fail():
        with publishing.workspace(tmp_path / "a") as folder:
            (folder / "half").write_text("written")
            assert folder.parent == tmp_path
            raise error

    with pytest.raises(error):
        fail()
    assert tree(tmp_path) == []


def test_publish_replaces_the_old_folder(tmp_path):
    old = saved_model(tmp_path / "model", "old")
    with publishing.workspace(old) as folder:
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
    with pytest.raises(OSError, match="no space"), publishing.workspace(old) as folder:
        publishing.publish_folder(saved_model(folder / "new", "new"), old)
    assert (old / "saved_model.pb").read_text() == "old"
    assert tree(tmp_path) == ["model", "model/saved_model.pb", "model/variables"]


def test_what_a_link_leads_to_is_replaced_not_the_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "student.tflite").symlink_to(tmp_path / "real" / "student.tflite")
    assert publishing.folder_target(tmp_path / "link") == tmp_path / "real"
    assert publishing.file_target(tmp_path / "student.tflite").parent == tmp_path / "real"


def test_what_killed_processes_left_is_removed(tmp_path):
    orphan = tmp_path / ".keras_kd-dead"
    orphan.mkdir()
    (orphan / "half").write_text("written")
    (orphan / ".keras_kd-workspace").touch()
    (tmp_path / ".keras_kd-notes").mkdir()
    (tmp_path / ".keras_kd-notes" / "mine.txt").write_text("mine")
    (tmp_path / ".keras_kd-file").write_text("mine")
    with publishing.workspace(tmp_path / "a") as working:
        assert not orphan.exists()
        with publishing.workspace(tmp_path / "b"):
            assert working.exists()  # an export at work is no orphan
    assert tree(tmp_path) == [".keras_kd-file", ".keras_kd-notes", ".keras_kd-notes/mine.txt"]


def test_a_model_in_the_middle_of_being_replaced_comes_back(tmp_path):
    saved_model(tmp_path / ".keras_kd-dead" / "replaced" / "model", "old")
    saved_model(tmp_path / ".keras_kd-dead" / "saved_model", "new")
    (tmp_path / ".keras_kd-dead" / ".keras_kd-workspace").touch()
    with publishing.workspace(tmp_path / "a"):
        pass
    assert (tmp_path / "model" / "saved_model.pb").read_text() == "old"
    assert tree(tmp_path) == ["model", "model/saved_model.pb", "model/variables"]


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
