"""Variational information distillation: a Gaussian around what the student predicts."""

from typing import Any

import keras
from keras import ops

from keras_kd.losses.base import full_precision, same_shape
from keras_kd.losses.features import FeatureLoss
from keras_kd.losses.sizes import same_sizes

__all__ = ["LEAST_VARIANCE", "Variational", "variational"]

LEAST_VARIANCE = 1e-5


def variational(teacher: Any, mean: Any, log_scale: Any) -> Any:
    """Returns the mean of `((μ - t)²/σ² + log σ²)/2` over the last axis.

    Args:
        teacher: Features, `(batch, ..., channels)`.
        mean: `μ`, same shape.
        log_scale: `ρ` with `σ² = softplus(ρ) + 1e-5`, `(channels,)`.
    """
    variance = ops.softplus(log_scale) + LEAST_VARIANCE
    return ops.mean(0.5 * (ops.square(mean - teacher) / variance + ops.log(variance)), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class Variational(FeatureLoss):
    """The student's features tell as much as they can of the teacher's.

    `½·((μ - F_t)²/σ² + log σ²)`, the mean over all elements, with `σ² = softplus(ρ) + 1e-5` per
    channel: the negative log-likelihood of the teacher's features, but for a constant, which bounds
    the mutual information. `μ` and `ρ` come from `keras_kd.projectors.Variational`, which trains
    both.

    Args:
        name: Name of the loss. Default `"variational"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Call arguments:
        y_true: The teacher's features, `(batch, ..., channels)`, any float dtype.
        y_pred: A pair: `μ` of the same shape, and `ρ` of shape `(channels,)`.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64 inputs). It
        may be negative.

    Raises:
        ValueError: If the shapes differ, `y_pred` is not a pair, or `y_true` brings a mask;
            `sample_weight` of 0 does its work. A Term heeds Keras' mask by itself.

    Example:
    >>> loss = keras_kd.losses.Variational()
    >>> term = keras_kd.Term(loss, projector=keras_kd.projectors.Variational())
    >>> teacher, mean = keras.random.normal((2, 8, 4)), keras.random.normal((2, 8, 4))
    >>> tuple(loss.call(teacher, (mean, keras.ops.zeros(4))).shape)
    (2, 8)

    Reference:
        - [Ahn et al., Variational Information Distillation for Knowledge Transfer, CVPR 2019](
            https://arxiv.org/abs/1904.05835)
    """

    mend = "Pass projector='auto' to the Term, or keras_kd.projectors.Variational()"
    rule = "features of one shape (batch, ..., channels), the student's as mean and log-scale"

    def __init__(self, name: str = "variational", reduction: str | None = "sum_over_batch_size"):
        super().__init__(name=name, reduction=reduction)

    def fits(self, teacher: tuple, student: tuple) -> bool:
        """Whether there are a mean of the teacher's shape and a log-scale per channel."""
        if len(student) != 2 or not all(isinstance(shape, tuple) for shape in student):
            return False
        return super().fits(teacher, student[0]) and same_shape(student[1], teacher[-1:])

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        answer = self.unpack(y_true)
        parts = y_pred if isinstance(y_pred, (tuple, list)) else (y_pred,)
        mean = full_precision(parts[0])
        parts = [ops.cast(full_precision(part), mean.dtype) for part in parts]
        teacher = ops.cast(full_precision(answer.teacher), mean.dtype)
        shapes = tuple(tuple(part.shape) for part in parts)
        if not self.fits(tuple(teacher.shape), shapes):
            raise self.misfit(teacher.shape, shapes)
        return variational(same_sizes(teacher, mean), *parts)
