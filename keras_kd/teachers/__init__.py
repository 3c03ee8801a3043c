"""Whoever answers: the interface, and the teachers that have it."""

from keras_kd.teachers.teacher import KerasModel, NoTeacher, Teacher

__all__ = ["KerasModel", "NoTeacher", "Teacher"]
