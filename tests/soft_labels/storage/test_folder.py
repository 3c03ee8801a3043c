"""A folder that several writers share: what belongs to one run, and what gets in."""

import concurrent.futures
import contextlib
import os
import shutil

import numpy as np
import pytest

from keras_kd.soft_labels.storage import files, folder, manifest, shards
from keras_kd.soft_labels.storage.folder import Folder
from keras_kd.soft_labels.storage.records import Record, record_type

RECORDS = {"output": Record((3,))}
TYPE = record_type(RECORDS)


def content(seed=0, **changes):
    """The manifest of 3 shards, of 4 samples each."""
    return {
        "format": manifest.FORMAT,
        "samples": 12,
        "views": 1,
        "samples_per_shard": 4,
        "pairing": 1,
        "seed": seed,
        "augmentation": {"stages": [], "outputs": "ab"},
        "data": {"sample": ["uint8 (8, 8, 3)"], "head": "cd", "all": None},
        "teacher": {
            "name": "teacher",
            "weights": "ef",
            "preprocess": None,
            "keyed": False,
            "outputs": {"output": {"head": "logits", "inverted": False}},
        },
        "signals": {name: record.to_json() for name, record in RECORDS.items()},
        "versions": {"keras": "3"},
        "shards": None,
        **changes,
    }


def answers(number, seed=0):
    records = np.zeros((4, 1), TYPE)
    records["output"] = 10 * seed + number
    return records


def written(path, seed=0, numbers=range(3)):
    """Writes what a worker with these shards does; returns whether the folder is sealed then."""
    writer = Folder(path, content(seed))
    for number in writer.missing(numbers):
        writer.store(number, answers(number, seed))
    return writer.seal()


def everything(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture
def labels(tmp_path):
    """Returns `f(name, seed=0)`: a sealed folder."""

    def make(name, seed=0):
        assert written(tmp_path / name, seed)
        return tmp_path / name

    return make


def unsealed(path):
    """Takes the last step back, as a writer does that is killed before it."""
    file = path / manifest.NAME
    file.write_bytes(
        manifest.to_bytes({**manifest.from_bytes(file.read_bytes(), file), "shards": None})
    )


def test_workers_make_what_one_writer_makes(labels, tmp_path):
    shared = tmp_path / "shared"
    assert not written(shared, numbers=range(2, 3))
    assert not written(shared, numbers=range(1))
    assert not written(shared, numbers=range(2, 3))  # retried: changes nothing
    assert written(shared, numbers=range(1, 2))
    assert written(shared, numbers=range(1))
    assert everything(shared) == everything(labels("alone"))


def test_of_two_runs_that_begin_together_one_is_refused(tmp_path):
    path = tmp_path / "labels"
    first, second = Folder(path, content(0)), Folder(path, content(1))  # neither sees the other
    assert first.missing(range(2)) == [0, 1]
    with pytest.raises(ValueError, match=r"must hold no other labels.*differ in seed"):
        second.missing(range(2, 3))
    assert list(everything(path)) == [manifest.NAME]


@pytest.mark.parametrize("links", [True, False])
def test_many_runs_that_begin_at_once_leave_one(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise PermissionError(1, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)

    def begun(writer):
        with contextlib.suppress(ValueError):
            writer.missing(range(3))
            return writer.content["seed"]

    for trial in range(5):
        writers = [Folder(tmp_path / f"{trial}", content(seed)) for seed in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            seeds = [seed for seed in pool.map(begun, writers) if seed is not None]
        assert len(seeds) == 1
        path = tmp_path / f"{trial}" / manifest.NAME
        assert manifest.from_bytes(path.read_bytes(), path)["seed"] == seeds[0]
        assert len(list(path.parent.iterdir())) == 1


def test_a_run_whose_folder_was_taken_over_stores_nothing_more(tmp_path):
    path = tmp_path / "labels"
    slow = Folder(path, content(0))
    slow.missing(range(3))
    (path / manifest.NAME).unlink()
    with pytest.raises(ValueError, match="must keep its manifest"):
        slow.store(0, answers(0))
    assert written(path, seed=1)
    before = everything(path)
    with pytest.raises(ValueError, match="must hold no other labels"):
        slow.store(0, answers(0))
    with pytest.raises(ValueError, match="must hold no other labels"):
        slow.seal()
    assert everything(path) == before


def test_a_folder_that_vanishes_is_said(tmp_path):
    writer = Folder(tmp_path / "labels", content())
    writer.missing(range(3))
    shutil.rmtree(tmp_path / "labels")
    with pytest.raises(FileNotFoundError, match=r"must stay while labels are written"):
        writer.store(0, answers(0))


def test_an_unsealed_folder_takes_no_shard_of_another_run(labels):
    own, other = labels("own"), labels("other", seed=1)
    unsealed(own)
    next(own.glob("shard-000002*")).unlink()
    foreign = next(other.glob("shard-000002*"))
    shutil.copy(foreign, own)
    before = everything(own)
    for call in (lambda: folder.read(own), lambda: written(own)):
        with pytest.raises(ValueError, match=f"and no others.*Received: {foreign.name}"):
            call()
    assert everything(own) == before
    (own / foreign.name).unlink()
    assert written(own)
    assert everything(own) == everything(labels("again"))


def test_an_unsealed_folder_that_is_complete_is_read_and_sealed(labels):
    path = labels("labels")
    before = everything(path)
    unsealed(path)
    assert len(folder.read(path)["shards"]) == 3
    assert written(path)
    assert everything(path) == before


def test_a_listed_shard_beyond_the_last_is_refused(labels):
    path = labels("labels")
    listed = folder.read(path)["shards"]
    (path / manifest.NAME).write_bytes(manifest.to_bytes(content(shards=[*listed, "a" * 64])))
    with pytest.raises(ValueError, match="must be those that its manifest names"):
        folder.read(path)


def test_the_same_call_several_times_at_once(labels, tmp_path):
    alone = everything(labels("alone"))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for trial in range(20):
            path = tmp_path / f"{trial}"
            # Any but the last may have come too early to see all shards.
            assert any(list(pool.map(written, [path] * 4)))
            assert everything(path) == alone


def test_a_writer_whose_unfinished_file_is_tidied_up_writes_it_again(tmp_path, monkeypatch):
    replace, tidied = os.replace, []

    def once_too_late(unfinished, path):
        if not tidied:
            tidied.append(path)
            files.remove_unfinished(tmp_path, ["shard-000000"])
        replace(unfinished, path)

    monkeypatch.setattr(os, "replace", once_too_late)
    files.write_file(tmp_path, "shard-000000", b"whole", place=once_too_late)
    assert everything(tmp_path) == {"shard-000000": b"whole"}


@pytest.fixture
def read_only(monkeypatch):
    """Has all writing fail as on a disk that is read-only, for root, too."""

    def refused(*_, **__):
        raise OSError(30, "Read-only file system")

    for name in ("replace", "link", "unlink", "rename"):
        monkeypatch.setattr(os, name, refused)
    monkeypatch.setattr(files, "write_file", refused)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)


def test_a_complete_folder_on_a_disk_that_is_read_only_is_found(labels, request):
    path = labels("labels")
    before = everything(path)
    request.getfixturevalue("read_only")
    assert written(path)
    assert len(folder.read(path)["shards"]) == 3
    assert everything(path) == before


def test_what_is_missing_on_a_disk_that_is_read_only_is_said(labels, request):
    path = labels("labels")
    next(path.glob("shard-000001*")).unlink()
    request.getfixturevalue("read_only")
    with pytest.raises(PermissionError, match=r"labels' must be a folder that can be written"):
        written(path)


def test_a_folder_is_the_same_after_another_working_directory(labels, tmp_path, monkeypatch):
    labels("labels")
    monkeypatch.chdir(tmp_path)
    writer = Folder("labels", content())
    monkeypatch.chdir("/")
    assert writer.missing(range(3)) == []
    _, stored = writer.shards()
    np.testing.assert_array_equal(stored[2], answers(2))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_in_the_place_of_the_manifest_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / manifest.NAME)
    for call in (lambda: folder.read(tmp_path), lambda: written(tmp_path)):
        with pytest.raises(ValueError, match=r"manifest.json must be a file that can be read"):
            call()


def test_a_link_to_nothing_in_the_place_of_the_manifest_is_refused(tmp_path):
    (tmp_path / manifest.NAME).symlink_to("nothing")
    with pytest.raises(ValueError, match="must keep its manifest"):
        written(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "labels").write_bytes(b"")
    with pytest.raises(OSError, match="must be a folder that can be written"):
        written(tmp_path / "labels")
    with pytest.raises(FileNotFoundError, match="must be a folder of soft labels"):
        folder.read(tmp_path / "labels")


def test_the_names_of_shards_are_those_of_their_labels(labels):
    path = labels("labels")
    assert shards.found(path, manifest.run(content())).keys() == {0, 1, 2}
    assert all(manifest.run(content()) in file.name for file in path.glob("*.npy"))


def test_modules_are_found_by_the_names_that_they_had():
    import keras_kd.soft_labels.folder

    assert keras_kd.soft_labels.folder is folder
