"""Who is asked for answers, of all that may be given as a teacher."""

from typing import Any

from keras_kd._errors import wrong
from keras_kd.teachers.ensemble import Ensemble
from keras_kd.teachers.keras_model import KerasModel
from keras_kd.teachers.teacher import NoTeacher, Teacher

__all__ = ["asked_teacher"]


def asked_teacher(teacher: Any, head: str | dict | None) -> Teacher:
    """Returns the teacher to ask: one of `keras_kd.teachers` as it is, or one around a model.

    Args:
        teacher: A teacher, a model, a layer, or a list of these, which is an ensemble.
        head: What the outputs of models are.

    Raises:
        TypeError: If it is none of them.
        ValueError: If `teacher_head` says again what the teacher says itself.
    """
    if isinstance(teacher, (list, tuple)):
        return Ensemble([asked_teacher(each, head) for each in teacher])
    if not isinstance(teacher, Teacher):
        return KerasModel(teacher, head)
    if head is not None and not isinstance(teacher, NoTeacher):
        mend = f"Say it where the teacher is made, e.g. KerasModel(model, head={head!r})"
        rule = "be left to a teacher of keras_kd.teachers"
        raise wrong("teacher_head", rule, head, expected="teacher_head=None", mend=mend)
    return teacher
