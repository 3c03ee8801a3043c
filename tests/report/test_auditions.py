"""Which teacher teaches a student best."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from keras_kd.report import audition, auditions
from keras_kd.teachers import Function

KERNEL = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")


def right(x):
    return 5.0 * x @ KERNEL


def wrong(x):
    return right(-x)


@pytest.fixture
def labelled():
    x = np.random.default_rng(0).normal(size=(400, 4)).astype("float32")
    return x, right(x).argmax(-1)


@pytest.fixture
def student():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])


def test_a_teacher_may_be_worse_than_none(labelled, student, capsys):
    x, y = labelled
    before = student.get_weights()
    candidates = {"wrong": [Function(wrong, "logits")] * 2}
    options = {"epochs": 2, "seeds": 2, "batch_size": 40}
    found = keras_kd.teachers.audition(
        candidates,
        x,
        np.eye(3)[y],
        student,
        optimizer=lambda: keras.optimizers.Adam(0.05),
        **options,
    )
    assert (found.best, found.samples) == ("wrong", 80)
    assert list(found.scores) == ["no teacher", "wrong"]
    assert "wrong, seed 1: " in capsys.readouterr().out
    assert "| Taught by" in str(found)
    for weights, kept in zip(student.get_weights(), before):
        np.testing.assert_array_equal(weights, kept)
    optimizer = keras.optimizers.Adam(0.05)
    again = audition(candidates, x, y, student, optimizer=optimizer, verbose=0, **options)
    assert again.scores == found.scores
    assert not optimizer.built  # each training has a copy


def test_students_keep_their_functions():
    def relu(x):
        return keras.ops.maximum(x, 0.5 * x)

    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation=relu)])
    assert auditions._maker(model)().layers[0].activation is relu


def test_seeds_decide():
    pytest.importorskip("scipy")
    near = {"no teacher": {0: 0.9, 1: 0.91, 2: 0.92}, "a": {0: 0.91, 1: 0.9, 2: 0.93}}
    assert auditions.judged(near, 80).verdict().startswith("'a' and 'no teacher' are too close")
    far = {**near, "b": {0: 0.95, 1: 0.96, 2: 0.97}}
    found = auditions.judged(far, 80)
    assert found.verdict().startswith("'b' teaches best: paired t-test over 3 seeds")
    assert list(found.scores) == ["b", "a", "no teacher"]


def test_bad_input(labelled, student):
    x, y = labelled
    for none in ({}, {"no teacher": Function(right)}):
        with pytest.raises(ValueError, match="candidates must name one teacher or more"):
            audition(none, x, y, student)
    with pytest.raises(TypeError, match="candidates must be a dict of teachers by name"):
        audition([Function(right)], x, y, student)
    with pytest.raises(TypeError, match="student must be a model, or return one"):
        audition({"a": Function(right)}, x, y, "student")
    with pytest.raises(ValueError, match="seeds must be an integer of at least 2"):
        audition({"a": Function(right)}, x, y, student, seeds=1)
    with pytest.raises(ValueError, match="y must hold one label for each sample"):
        audition({"a": Function(right)}, x, y[:9], student)
    with pytest.raises(ValueError, match=r"x must hold enough samples.*Received: 4"):
        audition({"a": Function(right)}, x[:4], y[:4], student)
    with pytest.raises(ValueError, match=r"validation_data must be \(x, y\)"):
        audition({"a": Function(right)}, x, y, student, validation_data=(x,))


def test_each_candidate_has_its_own_temperature(labelled, student, monkeypatch):
    found, compile_ = [], auditions.Distiller.compile

    def noted(self, *args, **kwargs):
        compile_(self, *args, **kwargs)
        found.append(round(float(self.temperature), 3))

    monkeypatch.setattr(auditions.Distiller, "compile", noted)
    x, y = labelled
    one, other = (Function(right, head="logits", name=name) for name in "ab")
    candidates = {"one": one, "both": [one, other]}
    audition(candidates, x, y, student, epochs=1, seeds=2, verbose=0)
    assert found[-2:] == [pytest.approx(found[2], rel=0.3)] * 2
    with pytest.raises(ValueError, match="temperature must be a number above 0 or 'auto'"):
        audition(candidates, x, y, student, temperature="soft")


def test_a_subclassed_student_is_made_built(labelled):
    @keras.saving.register_keras_serializable("tests")
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(x)

        def get_config(self):
            return {}

        @classmethod
        def from_config(cls, config):
            return cls()

    x, _ = labelled
    student = Net()
    student(x[:2])
    made = auditions._maker(student)()
    assert made.built
    assert [w.shape for w in made.weights] == [w.shape for w in student.weights]
