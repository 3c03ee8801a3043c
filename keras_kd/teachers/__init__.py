"""Whoever answers: the interface, and the teachers that have it."""

from keras_kd.teachers.ensemble import Ensemble
from keras_kd.teachers.keras_model import KerasModel
from keras_kd.teachers.teacher import NoTeacher, Teacher

__all__ = ["Ensemble", "KerasModel", "NoTeacher", "Teacher"]
