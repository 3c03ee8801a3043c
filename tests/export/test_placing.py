import os
import stat

import pytest

from keras_kd.export import placing

from .test_publishing import saved_model, tree

pytestmark = pytest.mark.skipif(placing.fcntl is None, reason="needs a system with flock")
MARKER = ".keras_kd-workspace"


@pytest.fixture
def orphan(tmp_path):
    folder = tmp_path / ".keras_kd-dead"
    folder.mkdir(mode=0o700)
    (folder / MARKER).touch()
    return folder


def export_into(folder):
    with placing.workspace(folder / "a"):
        pass


def test_what_killed_processes_left_is_removed(tmp_path, orphan):
    (orphan / "half").write_text("written")
    saved_model(orphan / "saved_model", "half")
    (tmp_path / ".keras_kd-notes").mkdir(mode=0o700)
    (tmp_path / ".keras_kd-notes" / "mine.txt").write_text("mine")
    (tmp_path / ".keras_kd-file").write_text("mine")
    with placing.workspace(tmp_path / "a") as working:
        assert not orphan.exists()
        with placing.workspace(tmp_path / "b"):
            assert working.exists()  # an export at work is no orphan
    assert tree(tmp_path) == [".keras_kd-file", ".keras_kd-notes", ".keras_kd-notes/mine.txt"]


def test_a_workspace_is_private(tmp_path):
    with placing.workspace(tmp_path / "a") as working:
        assert stat.S_IMODE(working.stat().st_mode) & 0o777 == 0o700
        assert os.listdir(working) == [MARKER]


def test_a_model_in_the_middle_of_being_replaced_comes_back(tmp_path, orphan):
    saved_model(orphan / "replaced" / "model", "old")
    saved_model(orphan / "saved_model", "new")
    export_into(tmp_path)
    assert (tmp_path / "model" / "saved_model.pb").read_text() == "old"
    assert tree(tmp_path) == ["model", "model/saved_model.pb", "model/variables"]


def test_a_model_that_is_there_stays(tmp_path, orphan):
    saved_model(orphan / "replaced" / "model", "old")
    saved_model(tmp_path / "model", "new")
    export_into(tmp_path)
    assert (tmp_path / "model" / "saved_model.pb").read_text() == "new"
    assert not orphan.exists()


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    (folder / "thesis").mkdir(parents=True)
    (folder / "thesis" / "text").write_text("all of it")
    return folder


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def planted(shared, mode):
    folder = shared / ".keras_kd-planted"
    folder.mkdir()
    folder.chmod(mode)
    (folder / MARKER).touch()
    return folder


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o770, 0o701])
def test_a_folder_that_others_may_enter_is_not_touched(shared, home, mode):
    folder = planted(shared, mode)
    (folder / "replaced").symlink_to(home)
    export_into(shared)
    assert tree(home) == ["thesis", "thesis/text"]
    assert os.listdir(shared) == [folder.name]
    assert sorted(os.listdir(folder)) == [MARKER, "replaced"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root's chown")
def test_a_folder_of_another_user_is_not_touched(shared, home):
    folder = planted(shared, 0o700)
    (folder / "replaced").mkdir()
    (folder / "replaced" / "thesis").symlink_to(home / "thesis")
    os.chown(folder, 12345, 12345)
    export_into(shared)
    assert os.listdir(shared) == [folder.name]


def test_a_marker_that_is_a_link_is_none(shared, home):
    folder = planted(shared, 0o700)
    (folder / MARKER).unlink()
    (folder / MARKER).symlink_to(home / "thesis" / "text")
    export_into(shared)
    assert os.listdir(shared) == [folder.name]


def test_a_link_to_a_workspace_is_none(shared, home, tmp_path):
    (home / MARKER).touch()
    home.chmod(0o700)
    (shared / ".keras_kd-link").symlink_to(home)
    export_into(shared)
    assert tree(home) == [MARKER, "thesis", "thesis/text"]
    assert os.listdir(shared) == [".keras_kd-link"]


def test_links_within_a_workspace_are_removed_not_followed(tmp_path, home, orphan):
    (orphan / "variables").symlink_to(home)
    export_into(tmp_path)
    assert tree(home) == ["thesis", "thesis/text"]
    assert os.listdir(tmp_path) == ["home"]


def test_a_link_instead_of_what_was_replaced_is_left_alone(tmp_path, home, orphan):
    (orphan / "replaced").symlink_to(home)
    export_into(tmp_path)
    assert tree(home) == ["thesis", "thesis/text"]
    assert orphan.exists()


def test_links_among_what_was_replaced_are_not_put_back(tmp_path, home, orphan):
    (orphan / "replaced").mkdir()
    (orphan / "replaced" / "model").symlink_to(home)
    export_into(tmp_path)
    assert os.listdir(tmp_path) == ["home"]
    assert tree(home) == ["thesis", "thesis/text"]


def test_a_folder_exchanged_for_a_link_meanwhile_is_not_followed(
    tmp_path, home, orphan, monkeypatch
):
    (orphan / "half").touch()
    real = placing._is_private

    def exchanged(status):
        os.rename(orphan, tmp_path / "elsewhere")
        orphan.symlink_to(home)
        return real(status)

    monkeypatch.setattr(placing, "_is_private", exchanged)
    export_into(tmp_path)
    assert tree(home) == ["thesis", "thesis/text"]
    assert orphan.is_symlink()


def test_what_cannot_be_mended_does_not_stop_the_export(tmp_path, orphan, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    saved_model(orphan / "replaced" / "model", "old")
    monkeypatch.setattr(placing.os, "rename", refuse)
    export_into(tmp_path)
    assert (orphan / "replaced" / "model" / "saved_model.pb").read_text() == "old"
    monkeypatch.setattr(placing.os, "listdir", refuse)
    placing.remove_orphans(tmp_path)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(placing.fcntl, "flock", refuse)
    with placing.workspace(tmp_path / "a") as working:
        export_into(tmp_path)
        assert working.exists()
    assert os.listdir(tmp_path) == []
