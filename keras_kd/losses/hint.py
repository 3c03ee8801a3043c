"""Hints: the student's features follow the teacher's."""

from typing import Any

import keras
from keras import ops

from keras_kd.losses.features import FeatureLoss

__all__ = ["Hint", "hint"]


def hint(teacher: Any, student: Any) -> Any:
    """Returns the mean of `(student - teacher)²` over the last axis."""
    return ops.mean(ops.square(student - teacher), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class Hint(FeatureLoss):
    """The student's features, brought to the teacher's shape by a projector, follow the teacher's.

    `mean (P(F_s) - F_t)²` over all elements. The projector `P` is the Term's; the paper calls it
    the regressor.

    Args:
        name: Name of the loss. Default `"hint"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 100.0, for features after batch normalization. Features of another scale
            want another weight.

    Call arguments:
        y_true: The teacher's features, `(batch, ..., channels)`, any float dtype.
        y_pred: The student's features, same shape.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64 inputs).

    Raises:
        ValueError: If the shapes differ, or `y_true` brings a mask; `sample_weight` of 0 does its
            work. A Term heeds Keras' mask by itself.

    Example:
    >>> term = keras_kd.Term(keras_kd.losses.Hint(), projector="auto")
    >>> float(keras_kd.losses.Hint()([[2.0, 1.0]], [[0.0, 1.0]]))
    2.0

    Reference:
        - [Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015](
            https://arxiv.org/abs/1412.6550)
    """

    default_weight = 100.0

    def __init__(self, name: str = "hint", reduction: str | None = "sum_over_batch_size"):
        super().__init__(name=name, reduction=reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        teacher, student, _ = self.pair(y_true, y_pred)
        return hint(teacher, student)
