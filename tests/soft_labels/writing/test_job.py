"""What is written where, and what a folder that has been begun may be gone on with."""

import numpy as np
import pytest

import keras_kd

pytestmark = pytest.mark.tensorflow


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_complete_folder_is_opened(to_folder):
    folder, first = to_folder()
    before = files(folder)
    _, again = to_folder()
    assert files(folder) == before
    opened = keras_kd.SoftLabels.open(folder, verify="full")
    for soft in (again, opened):
        assert np.array_equal(soft.arrays(3)["output"], first.arrays(3)["output"])


def test_another_batch_size_goes_on(to_folder):
    folder, _ = to_folder()
    next(folder.glob("shard-000001*")).unlink()
    (folder / ".unfinished-shard-000001-ab.npy-77").write_bytes(b"half")
    to_folder(batch_size=32)
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"seed": 1}, "augmentation.outputs, seed"),
        ({"views": 3}, "views"),
        ({"dtype": "float32"}, "signals.output.dtype"),
        ({"augment": None, "views": 1}, "augmentation"),
    ],
)
def test_a_folder_of_other_labels_is_refused(to_folder, other, named):
    to_folder()
    with pytest.raises(ValueError, match=f"differ in .*{named}"):
        to_folder(**other)


def test_another_teacher_is_refused(to_folder, classifier):
    to_folder()
    with pytest.raises(ValueError, match=r"differ in teacher.weights"):
        to_folder(teacher=classifier(8))


@pytest.mark.parametrize("again", ["resumed", "complete"])
def test_another_preprocess_of_the_same_weights_is_refused(to_folder, classifier, again):
    teacher = classifier(8)
    darker = keras_kd.teachers.KerasModel(teacher, preprocess=lambda x: x / 2)
    brighter = keras_kd.teachers.KerasModel(teacher, preprocess=lambda x: x * 2)
    folder, _ = to_folder(teacher=darker)
    if again == "resumed":
        shard, _ = sorted(folder.glob("shard-*"))
        shard.unlink()
    before = files(folder)
    with pytest.raises(ValueError, match=r"must be those of the teacher"):
        to_folder(teacher=brighter)
    assert files(folder) == before
    to_folder(teacher=darker)


def test_size_and_time_are_said_before(images, classifier, capsys):
    x, _ = images
    keras_kd.SoftLabels.write(None, teacher=classifier(8), data=x)
    said = capsys.readouterr().out
    assert "300 answers to write (300 samples x 1 views in all), 2.1 kB, about" in said
    assert "300/300" in said
