"""Weighted transformed teacher matching."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.base import DistillationLoss, categorical_kl

__all__ = ["WTTM", "ttm", "wttm"]


def ttm(teacher: Any, student: Any, exponent: float) -> Any:
    """Returns `KL(p^g/Σp^g ‖ q)` over the last axis: the student is not tempered."""
    return categorical_kl(ops.log_softmax(exponent * teacher), ops.log_softmax(student))


def wttm(teacher: Any, student: Any, exponent: float) -> Any:
    """Returns `Σ_j p_j^g · KL(p^g/Σp^g ‖ q)` over the last axis."""
    power_sum = ops.sum(ops.exp(exponent * ops.log_softmax(teacher)), axis=-1)
    return power_sum * ttm(teacher, student, exponent)


@keras.saving.register_keras_serializable(package="keras_kd")
class WTTM(DistillationLoss):
    """An untempered student follows its teacher's flattened answer, most where that is unsure.

    `U·KL(p^g/Σ_j p_j^g ‖ q)` with the softmax `p` of the teacher's and `q` of the student's logits
    and `U = Σ_j p_j^g`. The power transform equals a teacher at temperature `1/g`. The weight `U`
    goes from 1 for a one-hot teacher to `classes^(1 - g)` for a uniform one: 63 at 100 classes and
    `g = 0.1`. A student that equals its teacher has a positive loss.

    Args:
        exponent: `g`, above 0; the paper's γ, 0.1 to 0.5. Default 0.1.
        name: Name of the loss. Default `"wttm"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 4.0, the weight in the authors' published command for this loss. Their
            weights go from 4 to 45, beside the full hard loss; search upwards for the exponents
            and teachers that make `U` small.

    Call arguments:
        y_true: The teacher's logits, `(batch, ..., classes)`, any float dtype.
        y_pred: The student's logits, same shape.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64
        inputs). Finite for logits up to 1e4 in magnitude.

    Raises:
        ValueError: If `exponent` is not positive and finite, or there are fewer than 2 classes.
        TypeError: If `exponent` is not a number.

    Example:
    >>> loss = keras_kd.losses.WTTM(exponent=0.5)
    >>> float(loss([[2.0, 1.0, 0.0]], [[0.0, 1.0, 2.0]])) > 0
    True

    Reference:
        - [Zheng and Yang, Knowledge Distillation Based on Transformed Teacher Matching, ICLR 2024](
            https://arxiv.org/abs/2402.11148)
    """

    default_weight = 4.0
    min_classes = 2

    def __init__(
        self,
        exponent: float = 0.1,
        name: str = "wttm",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.exponent = check_number("exponent", exponent, "above 0")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        return wttm(*self.logits(y_true, y_pred), self.exponent)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {**super().get_config(), "exponent": self.exponent}
