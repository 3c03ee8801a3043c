"""Distillation losses: one value per example or position, from teacher's and student's signal."""

from keras_kd.losses.base import DistillationLoss
from keras_kd.losses.decoupled_kd import DecoupledKD
from keras_kd.losses.dist import DIST
from keras_kd.losses.generalized_jensen_shannon import GeneralizedJensenShannon
from keras_kd.losses.logit_mse import LogitMSE
from keras_kd.losses.multi_label_soft_targets import MultiLabelSoftTargets
from keras_kd.losses.nkd import NKD
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.losses.wttm import WTTM

__all__ = [
    "DIST",
    "NKD",
    "WTTM",
    "DecoupledKD",
    "DistillationLoss",
    "GeneralizedJensenShannon",
    "LogitMSE",
    "MultiLabelSoftTargets",
    "SoftTargets",
]
