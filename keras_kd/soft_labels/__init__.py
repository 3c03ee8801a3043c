"""The teacher's stored answers, and augmentations that replay exactly."""

from keras_kd.soft_labels.augmentation import compose
from keras_kd.soft_labels.crops import crop_flip
from keras_kd.soft_labels.draws import uniform
from keras_kd.soft_labels.marks import batched, mixing

__all__ = ["batched", "compose", "crop_flip", "mixing", "uniform"]
