"""Normalized knowledge distillation."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.base import DistillationLoss, split_target, target_mask, unpack

__all__ = ["NKD", "nkd"]


def nkd(teacher: Any, student: Any, target: Any, gamma: float, temperature: Any) -> Any:
    """Returns `-p_y·log q_y - γT²·Σ_{i≠y} p̂_i·log q̂_i`; `target` is true at the class `y`."""
    teacher_margin, _ = split_target(teacher, target)
    student_margin, _ = split_target(student, target)
    own = -ops.sigmoid(teacher_margin) * ops.log_sigmoid(student_margin)
    _, log_p = split_target(teacher / temperature, target)
    _, log_q = split_target(student / temperature, target)
    others = -ops.sum(ops.exp(log_p) * log_q, axis=-1)
    return own + gamma * temperature**2 * others


@keras.saving.register_keras_serializable(package="keras_kd")
class NKD(DistillationLoss):
    """Cross-entropies to the teacher: of the target class, and of the others made to sum to 1.

    `-p_y·log q_y - γT²·Σ_{i≠y} p̂_i·log q̂_i` with the softmax `p` of the teacher's and `q` of the
    student's logits at temperature 1, and `p̂`, `q̂` the softmax over the classes other than `y`
    at temperature `T`. It is a cross-entropy, no divergence: a student that equals its teacher has
    a positive loss, and the target's part goes on pulling `q_y` towards 1.

    The target `y` is the label where there is one. Without labels, and for ids outside the classes
    such as -1, it is the teacher's top class.

    Args:
        gamma: `γ`, weight of the others' part, at least 0. Default 1.5, the paper's.
        temperature: `T` of the others' part, above 0. Default 1.0, the paper's on ImageNet.
        name: Name of the loss. Default `"nkd"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Call arguments:
        y_true: The teacher's logits, `(batch, ..., classes)`, any float dtype; or a dict
            `{"teacher": logits, "labels": class ids}` with labels `(batch, ...)` of any dtype.
        y_pred: The student's logits, same shape.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64
        inputs). Finite for logits up to 1e4 in magnitude.

    Raises:
        ValueError: If an argument is out of range, there are fewer than 3 classes, or labels do
            not fit the logits.
        TypeError: If an argument is not a number.

    Example:
    >>> loss = keras_kd.losses.NKD()
    >>> teacher = keras.ops.array([[2.0, 1.0, 0.0]])
    >>> student = keras.ops.array([[0.0, 1.0, 2.0]])
    >>> float(loss({"teacher": teacher, "labels": [0]}, student)) > 0
    True

    Reference:
        - [Yang et al., From Knowledge Distillation to Self-Knowledge Distillation: A Unified
            Approach with Normalized Loss and Customized Soft Labels, ICCV 2023](
            https://arxiv.org/abs/2303.13005)
    """

    needs = frozenset({"labels"})
    reads_twice = True
    min_classes = 3

    def __init__(
        self,
        gamma: float = 1.5,
        temperature: float = 1.0,
        name: str = "nkd",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.gamma = check_number("gamma", gamma, "at least 0")
        self.temperature = check_number("temperature", temperature, "above 0")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        answer = unpack(y_true)
        teacher, student = self.logits(answer.teacher, y_pred)
        target = target_mask(answer.labels, teacher)
        temperature = ops.cast(self.temperature, student.dtype)
        return nkd(teacher, student, target, self.gamma, temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {
            **super().get_config(),
            "gamma": self.gamma,
            "temperature": float(self.temperature),
        }
