"""The teacher's decision as a label."""

from typing import Any

import keras
from keras import ops

from keras_kd.losses.base import DistillationLoss, target_mask

__all__ = ["HardLabels", "hard_labels"]


def hard_labels(student: Any, target: Any) -> Any:
    """Returns `-log q_y`; `target` is true at the class `y`."""
    return -ops.sum(ops.where(target, ops.log_softmax(student, axis=-1), 0.0), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class HardLabels(DistillationLoss):
    """Cross-entropy of the student to the teacher's top class.

    `-log q_y` with `y = argmax z_t` and the softmax `q` of the student's logits `z_s`: DeiT's hard
    distillation. The teacher's other classes do not matter, and there is no temperature. Of equal
    logits, the first class is the top one.

    Args:
        name: Name of the loss. Default `"hard_labels"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Call arguments:
        y_true: The teacher's logits, `(batch, ..., classes)`, any float dtype.
        y_pred: The student's logits, same shape.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64
        inputs). Finite for logits up to 1e4 in magnitude.

    Raises:
        ValueError: If there are fewer than 2 classes, or the shapes differ.

    Example:
    >>> loss = keras_kd.losses.HardLabels()
    >>> round(float(loss([[2.0, 1.0]], [[3.0, 3.0]])), 4)
    0.6931

    Reference:
        - [Touvron et al., Training data-efficient image transformers & distillation through
            attention, ICML 2021](https://arxiv.org/abs/2012.12877)
    """

    min_classes = 2

    def __init__(self, name: str = "hard_labels", reduction: str | None = "sum_over_batch_size"):
        super().__init__(name=name, reduction=reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        teacher, student = self.logits(y_true, y_pred)
        return hard_labels(student, target_mask(None, teacher))
