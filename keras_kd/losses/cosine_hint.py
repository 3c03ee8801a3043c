"""Hints that compare directions, for an ensemble of projectors."""

from typing import Any

import keras
from keras import ops

from keras_kd.losses.features import FeatureLoss, unit

__all__ = ["CosineHint", "cosine_hint"]


def cosine_hint(teacher: Any, student: Any) -> Any:
    """Returns `1 - cos(student, teacher)` along the last axis."""
    return 1.0 - ops.sum(unit(student) * unit(teacher), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class CosineHint(FeatureLoss):
    """The student's features point where the teacher's do; how long they are is free.

    `1 - cos(P(f_s), f_t)`. The paper takes the pooled features before the last layer, and for `P`
    the mean of three projectors: `keras_kd.projectors.ProjectorEnsemble`.

    Args:
        name: Name of the loss. Default `"cosine_hint"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 25.0, the paper's.

    Call arguments:
        y_true: The teacher's features, `(batch, ..., channels)`, any float dtype.
        y_pred: The student's features, same shape.

    Call returns:
        One value per example or position from 0 to 2, `(batch, ...)`, float32 (float64 for
        float64 inputs). Features that are all 0 have the value 1 and no gradient.

    Raises:
        ValueError: If the shapes differ, or `y_true` brings a mask; `sample_weight` of 0 does its
            work. A Term heeds Keras' mask by itself.

    Example:
    >>> float(keras_kd.losses.CosineHint()([[2.0, 0.0]], [[0.0, 1.0]]))
    1.0

    Reference:
        - [Chen et al., Improved Feature Distillation via Projector Ensemble, NeurIPS 2022](
            https://arxiv.org/abs/2210.15274)
    """

    default_weight = 25.0

    def __init__(self, name: str = "cosine_hint", reduction: str | None = "sum_over_batch_size"):
        super().__init__(name=name, reduction=reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        teacher, student, _ = self.pair(y_true, y_pred)
        return cosine_hint(teacher, student)
