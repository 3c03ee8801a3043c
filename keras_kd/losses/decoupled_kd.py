"""Decoupled knowledge distillation: the target class apart from the others."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.base import (
    DistillationLoss,
    bernoulli_kl,
    categorical_kl,
    split_target,
    standardize,
    target_mask,
    unpack,
)

__all__ = ["DecoupledKD", "decoupled_kd"]


def decoupled_kd(
    teacher: Any, student: Any, target: Any, alpha: float, beta: float, temperature: Any
) -> Any:
    """Returns `T²·(α·TCKD + β·NCKD)`; `target` is true at each row's target class."""
    teacher_margin, log_p = split_target(teacher / temperature, target)
    student_margin, log_q = split_target(student / temperature, target)
    tckd = bernoulli_kl(teacher_margin, student_margin)
    nckd = categorical_kl(log_p, log_q)
    return temperature**2 * (alpha * tckd + beta * nckd)


@keras.saving.register_keras_serializable(package="keras_kd")
class DecoupledKD(DistillationLoss):
    """Weighs what a teacher says of the target class apart from what it says of the others.

    `T²·(α·TCKD + β·NCKD)` with `TCKD = KL([p_y, 1 - p_y] ‖ [q_y, 1 - q_y])`, where `p` and `q` are
    the softmax of the teacher's and the student's logits over `T`, and `NCKD` the KL divergence of
    the two softmaxes over the classes other than `y`. Soft targets are the same with
    `β = 1 - p_y`: they fade where the teacher is sure.

    The target `y` is the label where there is one. Without labels, and for ids outside the classes
    such as -1, it is the teacher's top class.

    Args:
        alpha: `α`, weight of the target's part, at least 0. Default 1.0.
        beta: `β`, weight of the others' part, at least 0. The paper: 8 on CIFAR-100 (1 to 10 by
            teacher), 0.5 on ImageNet. Default 8.0.
        temperature: `T`, above 0. The paper: 4 on CIFAR-100, 1 on ImageNet. Default 4.0.
        standardize: Whether to standardize both networks' logits first, as in `SoftTargets` (Sun et
            al. 2024; `temperature=2`, weight 9, hard loss 0.1). Default `False`.
        name: Name of the loss. Default `"decoupled_kd"`.
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
    >>> loss = keras_kd.losses.DecoupledKD()
    >>> teacher = keras.ops.array([[2.0, 1.0, 0.0]])
    >>> student = keras.ops.array([[0.0, 1.0, 2.0]])
    >>> float(loss({"teacher": teacher, "labels": [0]}, student)) > 0
    True

    The paper lets the weight grow from 0 over the first 20 of 240 epochs, which a student that
    knows nothing yet needs at large `beta`:

    ```python
    class WarmUp(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.terms[0].weight.assign(min(1.0, (epoch + 1) / 20))
    ```

    Reference:
        - [Zhao et al., Decoupled Knowledge Distillation, CVPR 2022](
            https://arxiv.org/abs/2203.08679)
    """

    needs = frozenset({"labels"})
    min_classes = 3

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
        standardize: bool = False,
        name: str = "decoupled_kd",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.alpha = check_number("alpha", alpha, "at least 0")
        self.beta = check_number("beta", beta, "at least 0")
        self.temperature = check_number("temperature", temperature, "above 0")
        self.standardize = bool(standardize)
        if self.standardize:
            self.default_weight = 9.0

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        answer = unpack(y_true)
        teacher, student = self.logits(answer.teacher, y_pred)
        target = target_mask(answer.labels, teacher)
        if self.standardize:
            teacher, student = standardize(teacher), standardize(student)
        temperature = ops.cast(self.temperature, student.dtype)
        return decoupled_kd(teacher, student, target, self.alpha, self.beta, temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
            "temperature": float(self.temperature),
            "standardize": self.standardize,
        }
