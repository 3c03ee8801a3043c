"""Parts that workers write with Apache Beam are the folder of one writer, byte for byte."""

import subprocess
import sys

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


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"teacher": "none.keras"}, ValueError, "teacher must be the path of a .keras file"),
        ({"teacher": keras.Sequential()}, TypeError, "teacher must be the path"),
        ({"teacher": "no_such_module:f"}, ValueError, "teacher must name what every worker can"),
        ({"data": "x.txt"}, ValueError, "data must be the path of a .npy file"),
        ({"augment": "crop"}, ValueError, "augment must be the name of an augmentation"),
        ({"parts": 0}, ValueError, "parts must be an integer of at least 1"),
        ({"dtype": "int8"}, ValueError, "dtype must be"),
    ],
)
def test_what_workers_cannot_do_is_refused_before(named, tmp_path, given, error, words):
    from keras_kd.soft_labels.beam import WriteSoftLabels

    with pytest.raises(error, match=words):
        WriteSoftLabels(tmp_path / "labels", **named | given)


@pytest.mark.slow
def test_the_command_with_two_processes(named, tmp_path):
    command = f"""{sys.executable} -m keras_kd.soft_labels.beam --teacher={named["teacher"]}
        --data={named["data"]} --output={tmp_path / "labels"} --augment=crop_flip --views=8
        --parts=3 --direct_running_mode=multi_processing --direct_num_workers=2"""
    ended = subprocess.run(command.split(), capture_output=True, text=True, timeout=500)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "300 samples x 8 views" in ended.stdout
    assert contents(tmp_path / "labels") == contents(tmp_path / "alone")
