"""What every teacher can do, and what stands for one that is not there."""

from typing import ClassVar

import numpy as np
import pytest

from keras_kd.teachers.teacher import NoTeacher, Teacher


@pytest.fixture
def silent():
    """A teacher that has no signals and never answers."""

    class Silent(Teacher):
        signals: ClassVar[dict] = {}

    return Silent()


def test_answers_that_come_with_a_batch_are_those_of_the_outputs(silent):
    answers = {"output": np.zeros((2, 3))}
    assert silent.carried(answers, ["output"]) is answers
    with pytest.raises(ValueError, match="must be the logits of the student's outputs"):
        silent.carried({"other": np.zeros((2, 3))}, ["output"])


def test_only_models_have_signals_inside(silent):
    assert silent.with_taps([]) is silent
    with pytest.raises(ValueError, match=r"must have a signal at the layers.*Silent, which"):
        silent.with_taps(["block"])


def test_what_is_not_overridden_refuses_nothing(silent):
    assert silent.check_terms([], ["output"]) is None
    assert silent.out_of_range([], ["output"]) is False
    assert silent.explained(ValueError()) is None
    assert silent.callbacks(None) == []


def test_a_place_without_a_teacher_keeps_the_heads_and_asks_for_one():
    nobody = NoTeacher({"output": "logits"})
    assert nobody.kinds(["output"]) == {"output": "logits"}
    assert nobody.with_taps(["block"]) is nobody
    assert "set distiller.teacher" in nobody.described()
    with pytest.raises(ValueError, match="The teacher must be set before training"):
        nobody(np.zeros((2, 4)), ["output"])
