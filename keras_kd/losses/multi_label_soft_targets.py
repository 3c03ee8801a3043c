"""Soft targets for outputs whose classes do not exclude each other."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.base import DistillationLoss, bernoulli_kl

__all__ = ["MultiLabelSoftTargets", "multi_label_soft_targets"]


def multi_label_soft_targets(teacher: Any, student: Any, temperature: Any) -> Any:
    """Returns `Σ_classes KL(Bernoulli(σ(teacher/T)) ‖ Bernoulli(σ(student/T)))`."""
    return ops.sum(bernoulli_kl(teacher / temperature, student / temperature), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class MultiLabelSoftTargets(DistillationLoss):
    """Each of the student's class probabilities follows the teacher's.

    `Σ_classes KL(Bernoulli(σ(z_t/T)) ‖ Bernoulli(σ(z_s/T)))`, computed from the logits without
    clipping, so its gradient is alive where the student is confidently wrong. There is no factor
    `T²`: at temperatures above 1 raise the term's weight instead.

    Args:
        temperature: `T`, above 0. Default 1.0.
        name: Name of the loss. Default `"multi_label_soft_targets"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Call arguments:
        y_true: The teacher's logits (before the sigmoid), `(batch, ..., classes)`, any float dtype.
        y_pred: The student's logits, same shape.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64
        inputs). Finite for logits up to 1e4 in magnitude.

    Raises:
        ValueError: If `temperature` is not positive and finite.
        TypeError: If `temperature` is not a number.

    Example:
    >>> loss = keras_kd.losses.MultiLabelSoftTargets()
    >>> float(loss([[2.0, -1.0]], [[2.0, -1.0]]))
    0.0

    Reference:
        - [Yang et al., Multi-Label Knowledge Distillation, ICCV 2023](
            https://arxiv.org/abs/2308.06453)
    """

    shift_invariant = False

    def __init__(
        self,
        temperature: float = 1.0,
        name: str = "multi_label_soft_targets",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.temperature = check_number("temperature", temperature, "above 0")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        teacher, student = self.logits(y_true, y_pred)
        temperature = ops.cast(self.temperature, student.dtype)
        return multi_label_soft_targets(teacher, student, temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {**super().get_config(), "temperature": float(self.temperature)}
