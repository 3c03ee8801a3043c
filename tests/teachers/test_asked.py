import pytest

from keras_kd.teachers.asked import asked_teacher
from keras_kd.teachers.ensemble import Ensemble
from keras_kd.teachers.keras_model import KerasModel
from keras_kd.teachers.teacher import NoTeacher


def test_teachers_are_asked_as_they_are_and_models_within_one(net):
    teacher = KerasModel(net())
    assert asked_teacher(teacher, None) is teacher
    assert isinstance(asked_teacher(net(), None), KerasModel)
    assert isinstance(asked_teacher([net(), teacher], None), Ensemble)


def test_a_teacher_says_its_head_itself(net):
    with pytest.raises(ValueError, match=r"teacher_head must be left.*head='logits'"):
        asked_teacher(KerasModel(net()), "logits")
    nobody = NoTeacher()
    assert asked_teacher(nobody, "logits") is nobody
