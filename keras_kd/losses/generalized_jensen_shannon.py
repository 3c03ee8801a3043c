"""Divergences between the forward and the reverse Kullback-Leibler divergence."""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.base import DistillationLoss, categorical_kl

__all__ = ["GeneralizedJensenShannon", "generalized_jensen_shannon"]


def generalized_jensen_shannon(teacher: Any, student: Any, beta: float, temperature: Any) -> Any:
    """Returns `β·KL(p ‖ m) + (1-β)·KL(q ‖ m)`, `m = β·p + (1-β)·q`, over the last axis.

    `p` and `q` are the softmax of the teacher's and the student's logits over the temperature. By
    definition, not as a limit, it is `KL(p ‖ q)` for `beta == 0` and `KL(q ‖ p)` for `beta == 1`.
    """
    log_p = ops.log_softmax(teacher / temperature, axis=-1)
    log_q = ops.log_softmax(student / temperature, axis=-1)
    if beta == 0:
        return categorical_kl(log_p, log_q)
    if beta == 1:
        return categorical_kl(log_q, log_p)
    # log(p/m) = -log β - softplus(r) and log(q/m) = -log(1-β) - softplus(-r): neither m, which may
    # underflow, nor its logarithm is needed.
    ratio = log_q - log_p + (math.log1p(-beta) - math.log(beta))
    from_teacher = ops.exp(log_p) * (-math.log(beta) - ops.softplus(ratio))
    from_student = ops.exp(log_q) * (-math.log1p(-beta) - ops.softplus(-ratio))
    return ops.sum(beta * from_teacher + (1 - beta) * from_student, axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class GeneralizedJensenShannon(DistillationLoss):
    """A divergence between covering all that a teacher says and keeping to what it is sure of.

    `β·KL(p ‖ m) + (1-β)·KL(q ‖ m)` with `m = β·p + (1-β)·q` and the softmax `p` of the teacher's
    and `q` of the student's logits over `T`. `beta=0` is `KL(p ‖ q)`, the forward divergence of
    `SoftTargets`; `beta=1` is `KL(q ‖ p)`, the reverse one: a student too small to follow
    everything then follows the teacher's likeliest answers. Between them it is bounded, and its
    gradient fades where student and teacher disagree totally. There is no factor `T²`.

    Args:
        beta: `β`, from 0 to 1. The two ends are those divergences by definition, not limits.
            Default 0.5.
        temperature: `T`, above 0. Default 1.0.
        name: Name of the loss. Default `"generalized_jensen_shannon"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Call arguments:
        y_true: The teacher's logits, `(batch, ..., classes)`, any float dtype.
        y_pred: The student's logits, same shape.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64
        inputs). Finite for logits up to 1e4 in magnitude. For a mean over valid tokens pass the
        mask as `sample_weight` with `reduction="mean_with_sample_weight"`.

    Raises:
        ValueError: If an argument is out of range, or there are fewer than 2 classes.
        TypeError: If an argument is not a number.

    Example:
    >>> loss = keras_kd.losses.GeneralizedJensenShannon(beta=1.0)
    >>> float(loss([[2.0, 1.0, 0.0]], [[0.0, 1.0, 2.0]])) > 0
    True

    Reference:
        - [Agarwal et al., On-Policy Distillation of Language Models: Learning from Self-Generated
            Mistakes, ICLR 2024](https://arxiv.org/abs/2306.13649)
    """

    min_classes = 2

    def __init__(
        self,
        beta: float = 0.5,
        temperature: float = 1.0,
        name: str = "generalized_jensen_shannon",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.beta = check_number("beta", beta, "from 0 to 1")
        self.temperature = check_number("temperature", temperature, "above 0")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        teacher, student = self.logits(y_true, y_pred)
        temperature = ops.cast(self.temperature, student.dtype)
        return generalized_jensen_shannon(teacher, student, self.beta, temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {
            **super().get_config(),
            "beta": self.beta,
            "temperature": float(self.temperature),
        }
