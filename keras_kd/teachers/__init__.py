"""Whoever answers: the interface, and the teachers that have it."""

from keras_kd.teachers.ensemble import Ensemble
from keras_kd.teachers.function import Function
from keras_kd.teachers.keras_model import KerasModel
from keras_kd.teachers.onnx import ONNX
from keras_kd.teachers.saved_model import SavedModel
from keras_kd.teachers.teacher import NoTeacher, Teacher
from keras_kd.teachers.tflite import TFLite

__all__ = [
    "ONNX",
    "Ensemble",
    "Function",
    "KerasModel",
    "NoTeacher",
    "SavedModel",
    "TFLite",
    "Teacher",
]
