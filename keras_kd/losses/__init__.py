"""Distillation losses: one value per example or position, from teacher's and student's signal."""

from keras_kd.losses.attention_transfer import AttentionTransfer
from keras_kd.losses.base import DistillationLoss
from keras_kd.losses.channel_wise import ChannelWise
from keras_kd.losses.cosine_hint import CosineHint
from keras_kd.losses.decoupled_kd import DecoupledKD
from keras_kd.losses.dist import DIST
from keras_kd.losses.features import FeatureLoss
from keras_kd.losses.generalized_jensen_shannon import GeneralizedJensenShannon
from keras_kd.losses.hard_labels import HardLabels
from keras_kd.losses.hierarchical_context import HierarchicalContext
from keras_kd.losses.hint import Hint
from keras_kd.losses.logit_mse import LogitMSE
from keras_kd.losses.multi_label_soft_targets import MultiLabelSoftTargets
from keras_kd.losses.nkd import NKD
from keras_kd.losses.probabilistic_transfer import ProbabilisticTransfer
from keras_kd.losses.relational import Relational
from keras_kd.losses.self_relation import SelfRelation
from keras_kd.losses.similarity_preserving import SimilarityPreserving
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.losses.variational import Variational
from keras_kd.losses.wttm import WTTM

__all__ = [
    "DIST",
    "NKD",
    "WTTM",
    "AttentionTransfer",
    "ChannelWise",
    "CosineHint",
    "DecoupledKD",
    "DistillationLoss",
    "FeatureLoss",
    "GeneralizedJensenShannon",
    "HardLabels",
    "HierarchicalContext",
    "Hint",
    "LogitMSE",
    "MultiLabelSoftTargets",
    "ProbabilisticTransfer",
    "Relational",
    "SelfRelation",
    "SimilarityPreserving",
    "SoftTargets",
    "Variational",
]
