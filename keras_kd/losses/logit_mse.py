"""The plain squared difference of logits."""

from typing import Any

import keras
from keras import ops

from keras_kd.losses.base import DistillationLoss

__all__ = ["LogitMSE", "logit_mse"]


def logit_mse(teacher: Any, student: Any) -> Any:
    """Returns the mean of `(student - teacher)²` over the last axis."""
    return ops.mean(ops.square(student - teacher), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class LogitMSE(DistillationLoss):
    """The student's logits follow the teacher's, their common offset included.

    `mean_classes (z_s - z_t)²`. It is what soft targets tend to at a high temperature, but for the
    offset and a factor. The paper trains with it alone, without a hard loss (`hard_weight=0`).

    Args:
        name: Name of the loss. Default `"logit_mse"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Call arguments:
        y_true: The teacher's logits, `(batch, ..., classes)`, any float dtype.
        y_pred: The student's logits, same shape.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64
        inputs). Finite for logits up to 1e4 in magnitude.

    Example:
    >>> loss = keras_kd.losses.LogitMSE()
    >>> float(loss([[2.0, 1.0]], [[0.0, 1.0]]))
    2.0

    Reference:
        - [Kim et al., Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in
            Knowledge Distillation, IJCAI 2021](https://arxiv.org/abs/2105.08919)
    """

    shift_invariant = False

    def __init__(
        self,
        name: str = "logit_mse",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        return logit_mse(*self.logits(y_true, y_pred))
