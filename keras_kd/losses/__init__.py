"""Distillation losses: one value per example or position, from teacher's and student's signal."""

from keras_kd.losses.base import DistillationLoss
from keras_kd.losses.multi_label_soft_targets import MultiLabelSoftTargets
from keras_kd.losses.soft_targets import SoftTargets

__all__ = ["DistillationLoss", "MultiLabelSoftTargets", "SoftTargets"]
