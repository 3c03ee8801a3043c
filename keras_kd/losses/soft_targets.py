"""Hinton's soft targets."""

import warnings
from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.base import DistillationLoss, categorical_kl, standardize

__all__ = ["SoftTargets", "soft_targets"]


def soft_targets(teacher: Any, student: Any, temperature: Any, student_power: float = 1.0) -> Any:
    """Returns `S²·KL(softmax(teacher/T) ‖ softmax(student/S))` with `S = T**student_power`."""
    own = temperature if student_power == 1 else temperature**student_power
    log_p = ops.log_softmax(teacher / temperature, axis=-1)
    log_q = ops.log_softmax(student / own, axis=-1)
    return own**2 * categorical_kl(log_p, log_q)


@keras.saving.register_keras_serializable(package="keras_kd")
class SoftTargets(DistillationLoss):
    """The student's softened class distribution follows the teacher's.

    `T²·KL(softmax(z_t/T) ‖ softmax(z_s/T))`; its gradient with respect to the student's logits is
    `T·(softmax(z_s/T) - softmax(z_t/T))`. The factor `T²` keeps the gradient's size when the
    temperature changes.

    Args:
        temperature: `T`, above 0. Small data sets: about 4; ImageNet: 1. Default 4.0.
        standardize: Whether to standardize both networks' logits to zero mean and unit standard
            deviation first (Sun et al. 2024; their recipe is `temperature=2`, weight 9, hard loss
            0.1). It keeps a teacher useful that has memorised its training data. Default `False`.
        name: Name of the loss. Default `"soft_targets"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.
        student_power: How much of the temperature softens the student, from 0 to 1: its own is
            `S = T**student_power`, and the loss `S²·KL(softmax(z_t/T) ‖ softmax(z_s/S))`, with the
            gradient `S·(softmax(z_s/S) - softmax(z_t/T))`. 1 is Hinton's loss; 0 leaves the student
            as it is (Zheng and Yang 2024); 0.5 is what `Distiller` takes by default. With
            `standardize` it is about the standardized logits. Default 1.0.

    Call arguments:
        y_true: The teacher's logits, `(batch, ..., classes)`, any float dtype.
        y_pred: The student's logits, same shape.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64
        inputs). Finite for logits up to 1e4 in magnitude.

    Raises:
        ValueError: If `temperature` is not positive and finite, `student_power` not from 0 to 1, or
            there are fewer than 2 classes.
        TypeError: If one of them is not a number.

    Example:
    >>> loss = keras_kd.losses.SoftTargets(temperature=4.0)
    >>> float(loss([[2.0, 1.0, 0.0]], [[0.0, 1.0, 2.0]])) > 0
    True

    Reference:
        - [Hinton et al., Distilling the Knowledge in a Neural Network, 2015](
            https://arxiv.org/abs/1503.02531)
        - [Sun et al., Logit Standardization in Knowledge Distillation, CVPR 2024](
            https://arxiv.org/abs/2403.01427)
        - [Zheng and Yang, Knowledge Distillation Based on Transformed Teacher Matching, ICLR 2024](
            https://arxiv.org/abs/2402.11148)
    """

    min_classes = 2

    def __init__(
        self,
        temperature: float = 4.0,
        standardize: bool = False,
        name: str = "soft_targets",
        reduction: str | None = "sum_over_batch_size",
        student_power: float = 1.0,
    ):
        super().__init__(name=name, reduction=reduction)
        self.temperature = check_number("temperature", temperature, "above 0")
        self.standardize = bool(standardize)
        self.student_power = check_number("student_power", student_power, "from 0 to 1")
        if self.standardize:
            self.default_weight = 9.0

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        teacher, student = self.logits(y_true, y_pred)
        if self.standardize:
            if student.shape[-1] == 2:
                warnings.warn(
                    "SoftTargets(standardize=True) teaches nothing with 2 classes: standardized, "
                    "every pair of logits is (-0.71, 0.71) or the reverse. Use standardize=False.",
                    stacklevel=2,
                )
            teacher, student = standardize(teacher), standardize(student)
        temperature = ops.cast(self.temperature, student.dtype)
        return soft_targets(teacher, student, temperature, self.student_power)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        # Without what is not used, older versions load what is saved.
        asymmetric = {} if self.student_power == 1 else {"student_power": self.student_power}
        return {
            **super().get_config(),
            "temperature": float(self.temperature),
            "standardize": self.standardize,
            **asymmetric,
        }
