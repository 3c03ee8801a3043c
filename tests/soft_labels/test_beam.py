"""Parts that workers write with Apache Beam are the folder of one writer, byte for byte."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_kd

pytest.importorskip("apache_beam", reason="needs the extra beam")
pytestmark = [
    pytest.mark.tensorflow,
    # Beam's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture
def named(tmp_path, images, classifier):
    """Returns the paths of a teacher and of data, and the folder that one writer makes."""
    x, _ = images
    teacher = classifier(8)
    teacher.save(tmp_path / "teacher.keras")
    np.save(tmp_path / "x.npy", x)
    keras_kd.SoftLabels.write(
        tmp_path / "alone",
        teacher=teacher,
        data=x,
        augment=keras_kd.soft_labels.crop_flip,
        views=8,
        verbose=0,
    )
    return {"teacher": tmp_path / "teacher.keras", "data": tmp_path / "x.npy"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(folder, **given):
    import apache_beam as beam

    from keras_kd.soft_labels.beam import WriteSoftLabels

    with beam.Pipeline() as pipeline:
        pipeline | WriteSoftLabels(folder, augment="crop_flip", views=8, parts=3, **given)


def test_the_folder_is_that_of_one_writer(named, tmp_path):
    run(tmp_path / "labels", **named)
    assert contents(tmp_path / "labels") == contents(tmp_path / "alone")
    next((tmp_path / "labels").glob("shard-000001*")).unlink()
    run(tmp_path / "labels", **named)  # what is there stays
    assert contents(tmp_path / "labels") == contents(tmp_path / "alone")


def test_another_teacher_is_refused_by_the_worker(named, tmp_path, classifier):
    run(tmp_path / "labels", **named)
    classifier(8).save(named["teacher"])
    with pytest.raises(ValueError, match=r"differ in teacher.weights"):
        run(tmp_path / "labels", **named)


def test_a_saved_model_is_asked_by_every_worker(named, tmp_path):
    keras.saving.load_model(named["teacher"]).export(tmp_path / "saved", verbose=False)
    saved = named | {"teacher": tmp_path / "saved"}
    with pytest.raises(ValueError, match="head must be 'logits', 'softmax' or 'sigmoid'"):
        run(tmp_path / "labels", **saved)
    run(tmp_path / "labels", **saved, head="logits")
    found, alone = (
        keras_kd.SoftLabels.open(tmp_path / each).arrays()["output"] for each in ("labels", "alone")
    )
    np.testing.assert_allclose(found, alone, atol=0.01)


class Own(keras.layers.Dense):
    """Nobody has registered it."""


def test_what_workers_cannot_use_is_refused_before_the_first_part(named, tmp_path, monkeypatch):
    from keras_kd.soft_labels.writing.job import Job

    x = np.load(named["data"])
    own = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Flatten(), Own(8)])
    own.save(tmp_path / "own.keras")
    with pytest.raises(ValueError, match="teacher must be a file that every worker can load"):
        run(tmp_path / "labels", **named | {"teacher": tmp_path / "own.keras"})
    (tmp_path / "cut.npy").write_bytes(named["data"].read_bytes()[:-1])
    with pytest.raises(ValueError, match="data must be a file that every worker can load"):
        run(tmp_path / "labels", **named | {"data": tmp_path / "cut.npy"})
    monkeypatch.setattr(Job, "begin", lambda job: None)  # as in a folder of another machine
    with pytest.raises(ValueError, match="must be a folder that all workers see"):
        run(tmp_path / "labels", **named)
    assert not list((tmp_path).glob("labels/*"))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"teacher": "none.keras"}, ValueError, "teacher must be the path of a .keras file"),
        ({"teacher": keras.Sequential()}, TypeError, "teacher must be the path"),
        ({"teacher": "no_such_module:f"}, ValueError, "teacher must name what every worker can"),
        ({"data": "x.txt"}, ValueError, "data must be the path of a .npy file"),
        ({"data": __file__.replace(".py", ".npy")}, ValueError, "data must be the path of a .npy"),
        ({"teacher": "os:no_such"}, ValueError, "teacher must name what every worker can import"),
        ({"augment": "crop"}, ValueError, "augment must be the name of an augmentation"),
        ({"parts": 0}, ValueError, "parts must be an integer of at least 1"),
        ({"dtype": "int8"}, ValueError, "dtype must be"),
        ({"head": "softmax"}, ValueError, "head must be left to SavedModels"),
        ({"shard": (0, 2)}, ValueError, "shard must be left to the parts"),
    ],
)
def test_what_workers_cannot_do_is_refused_before(named, tmp_path, given, error, words):
    from keras_kd.soft_labels.beam import WriteSoftLabels

    with pytest.raises(error, match=words):
        WriteSoftLabels(tmp_path / "labels", **named | given)


def command(named, folder, parts=3):
    text = f"""{sys.executable} -m keras_kd.soft_labels.beam --teacher={named["teacher"]}
        --data={named["data"]} --output={folder} --augment=crop_flip --views=8
        --parts={parts} --direct_running_mode=multi_processing --direct_num_workers=2"""
    return text.split()


@pytest.mark.slow
def test_the_command_with_two_processes(named, tmp_path):
    labels = tmp_path / "labels"
    ended = subprocess.run(command(named, labels), capture_output=True, text=True, timeout=500)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "300 samples x 8 views" in ended.stdout
    assert contents(labels) == contents(tmp_path / "alone")


def workers_of(process):
    """Returns the ids of Beam's worker processes, which a shell of the command's has started."""
    parents, found = {}, []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
    level = [process.pid]
    while level := [child for child, parent in parents.items() if parent in level]:
        found += level
    return [pid for pid in found if pid not in parents.values()]


@pytest.mark.slow
def test_twenty_workers_killed_at_random_end_with_the_same_bytes(named, tmp_path):
    labels, rng, kills, seen = tmp_path / "labels", random.Random(0), 0, set()
    named["data"] = tmp_path / "many.npy"
    np.save(named["data"], np.tile(np.load(tmp_path / "x.npy"), (80, 1, 1, 1)))
    alone = keras.saving.load_model(named["teacher"])
    shutil.rmtree(tmp_path / "alone")
    given = {"data": np.load(named["data"]), "augment": keras_kd.soft_labels.crop_flip, "views": 8}
    keras_kd.SoftLabels.write(tmp_path / "alone", teacher=alone, verbose=0, **given)
    whole = len(list((tmp_path / "alone").glob("shard-*")))
    while kills < 20:
        there = set(labels.glob("shard-*"))
        with subprocess.Popen(command(named, labels, 12), stderr=subprocess.DEVNULL) as process:
            while set(labels.glob("shard-*")) <= there and process.poll() is None:
                time.sleep(0.05)  # it writes once there is another
            time.sleep(rng.uniform(0, 1))
            for pid in workers_of(process):
                os.kill(pid, signal.SIGKILL)
                kills += 1
            process.kill()
        shards = sorted(labels.glob("shard-*"))
        seen.add(len(shards))
        if len(shards) > whole // 2:
            for path in rng.sample(shards, len(shards) // 2):
                path.unlink()
    assert len(seen) > 3
    ended = subprocess.run(command(named, labels, 12), capture_output=True, text=True, timeout=500)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert contents(labels) == contents(tmp_path / "alone")
