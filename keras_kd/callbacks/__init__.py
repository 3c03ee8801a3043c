"""What may happen between the epochs of a training."""

from keras_kd.callbacks import shapes
from keras_kd.callbacks.end_distillation import EndDistillation
from keras_kd.callbacks.export_best import ExportBest
from keras_kd.callbacks.schedule import Schedule
from keras_kd.callbacks.student_checkpoint import StudentCheckpoint
from keras_kd.callbacks.teacher_agreement import TeacherAgreement

__all__ = [
    "EndDistillation",
    "ExportBest",
    "Schedule",
    "StudentCheckpoint",
    "TeacherAgreement",
    "shapes",
]
