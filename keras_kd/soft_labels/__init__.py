"""The teacher's stored answers, and augmentations that replay exactly."""

from keras_kd.soft_labels.augmentation import compose
from keras_kd.soft_labels.colors import color_jitter, cutout
from keras_kd.soft_labels.crops import crop_flip, random_resized_crop
from keras_kd.soft_labels.draws import uniform
from keras_kd.soft_labels.marks import batched, mixing
from keras_kd.soft_labels.mixes import cutmix, mixup
from keras_kd.soft_labels.store import SoftLabels

__all__ = [
    "SoftLabels",
    "batched",
    "color_jitter",
    "compose",
    "crop_flip",
    "cutmix",
    "cutout",
    "mixing",
    "mixup",
    "random_resized_crop",
    "uniform",
]
