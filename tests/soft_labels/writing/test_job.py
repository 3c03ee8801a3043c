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


class Hidden:
    """A number that no hash of a function sees."""

    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor


@pytest.mark.parametrize("again", ["resumed", "complete"])
def test_answers_of_another_preprocess_are_refused(to_folder, classifier, again):
    teacher = classifier(8)

    def of(hidden):
        return keras_kd.teachers.KerasModel(teacher, preprocess=lambda x: x / hidden.factor)

    darker, brighter = of(Hidden(2)), of(Hidden(1))
    folder, _ = to_folder(teacher=darker)
    if again == "resumed":
        shard, _ = sorted(folder.glob("shard-*"))
        shard.unlink()
    before = files(folder)
    with pytest.raises(ValueError, match=r"must be those of the teacher"):
        to_folder(teacher=brighter)
    assert files(folder) == before
    to_folder(teacher=darker)


def test_writers_whose_functions_share_a_name_do_not_share_a_folder(to_folder, classifier):
    teacher = classifier(8)

    def of(factor):
        return keras_kd.teachers.KerasModel(teacher, preprocess=lambda x: x / factor)

    folder, _ = to_folder(teacher=of(2), shard=(0, 2))
    before = files(folder)
    with pytest.raises(ValueError, match=r"differ in teacher.preprocess"):
        to_folder(teacher=of(1), shard=(1, 2))
    assert files(folder) == before
    to_folder(teacher=of(2), shard=(1, 2))


def test_size_and_time_are_said_before(images, classifier, capsys):
    x, _ = images
    keras_kd.SoftLabels.write(None, teacher=classifier(8), data=x)
    said = capsys.readouterr().out
    assert "300 answers to write (300 samples x 1 views in all), 2.1 kB, about" in said
    assert "300/300" in said
