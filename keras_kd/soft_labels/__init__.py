"""The teacher's stored answers, and augmentations that replay exactly."""

import sys

from keras_kd.soft_labels.agreement import Agreement
from keras_kd.soft_labels.augmentation.colors import color_jitter, cutout
from keras_kd.soft_labels.augmentation.crops import crop_flip, random_resized_crop
from keras_kd.soft_labels.augmentation.draws import uniform
from keras_kd.soft_labels.augmentation.marks import batched, mixing
from keras_kd.soft_labels.augmentation.mixes import cutmix, mixup
from keras_kd.soft_labels.augmentation.stages import compose
from keras_kd.soft_labels.storage import folder, manifest, shards
from keras_kd.soft_labels.store import SoftLabels

__all__ = [
    "Agreement",
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

# Scripts that look into folders know these modules by the names that they had before `storage`.
for _module in (folder, manifest, shards):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module
