"""DIST: correlations of predictions instead of their equality."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.base import DistillationLoss, per_position, unpack

__all__ = ["DIST", "dist", "pearson"]


def pearson(a: Any, b: Any, axis: int, counted: Any = 1.0) -> Any:
    """Returns Pearson's correlation along an axis, with 1e-8 added to the product of the norms.

    Args:
        a: Floats, `(rows, columns)` where `counted` is given.
        b: Same shape.
        axis: Axis to correlate along.
        counted: 1 for what counts and 0 for what does not, in a shape that broadcasts to `a`'s.
    """
    a, b = _centered(a, axis, counted), _centered(b, axis, counted)
    return ops.sum(a * b, axis=axis) / (_norm(a, axis) * _norm(b, axis) + 1e-8)


def _centered(x: Any, axis: int, counted: Any) -> Any:
    total = ops.sum(ops.ones_like(x) * counted, axis=axis, keepdims=True)
    mean = ops.sum(x * counted, axis=axis, keepdims=True) / ops.maximum(total, 1.0)
    return (x - mean) * counted


def _norm(x: Any, axis: int) -> Any:
    # The square root of zero has no gradient.
    return ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=axis), 1e-30))


def dist(teacher: Any, student: Any, mask: Any, beta: float, gamma: float, temperature: Any) -> Any:
    """Returns `T²·[β·(1 - r_row) + γ·mean_columns(1 - r_column)]` of each position.

    Args:
        teacher: Logits, `(batch, ..., classes)`.
        student: Logits, same shape.
        mask: Boolean, `(batch, ...)`, true where a position counts, or `None` for all.
        beta: Weight of the correlation between the classes of one position.
        gamma: Weight of the correlation between the positions of one class.
        temperature: `T`.
    """
    counted = 1.0
    if mask is not None:
        valid = ops.expand_dims(mask, axis=-1)
        # Even infinities in the padding change nothing.
        teacher, student = ops.where(valid, teacher, 0.0), ops.where(valid, student, 0.0)
        counted = ops.reshape(ops.cast(mask, student.dtype), (-1, 1))
    p, q = (ops.softmax(logits / temperature, axis=-1) for logits in (teacher, student))
    rows = 1 - pearson(p, q, axis=-1)
    flat = (-1, ops.shape(p)[-1])
    columns = 1 - pearson(ops.reshape(p, flat), ops.reshape(q, flat), 0, counted)
    return temperature**2 * (beta * rows + gamma * ops.mean(columns))


@keras.saving.register_keras_serializable(package="keras_kd")
class DIST(DistillationLoss):
    """The student keeps the teacher's order: of the classes of one example, and of the examples.

    `T²·[β·(1 - r_row) + γ·mean_columns(1 - r_column)]` where `r` is Pearson's correlation between
    the teacher's and the student's softmax of `z/T`: `r_row` over the classes of one position,
    `r_column` over all positions of the batch for one class. Made for teachers much stronger than
    their student, whose exact probabilities are out of reach.

    The column part is one number for the whole batch, added to each value: the loss is a batch
    statistic. Use batches of at least some dozens; with several replicas each takes its own share,
    and an example of weight 0 still counts in the columns (one that the mask leaves out does not).

    Args:
        beta: `β`, weight of the rows, at least 0. Default 1.0.
        gamma: `γ`, weight of the columns, at least 0. Default 1.0.
        temperature: `T`, above 0. The paper: 1 on ImageNet, 4 on CIFAR-100. Default 1.0.
        name: Name of the loss. Default `"dist"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 2.0, the paper's, beside the full hard loss.

    Call arguments:
        y_true: The teacher's logits, `(batch, ..., classes)`, any float dtype; or a dict
            `{"teacher": logits, "mask": mask}` with a mask `(batch, ...)` that is true (not 0)
            where a position counts. Without a mask all do.
        y_pred: The student's logits, same shape.

    Call returns:
        One value per example or position, `(batch, ...)`, float32 (float64 for float64
        inputs). Finite for logits up to 1e4 in magnitude. What the mask leaves out has a value
        too, without gradient, for the weights to remove.

    As the authors' code, it adds 1e-8 to the product of the norms, so it is not quite 0 where both
    networks agree. A correlation has no direction where the student's logits are all equal: the
    gradient there is finite but may reach 1e8, so do not start from a last layer of zeros. Where a
    softmax is one-hot in float32 (a gap above 100·T) the correlation cannot change and has no
    gradient; the hard loss has one. With 2 classes `r_row` is 1 or -1: only the columns teach.

    Raises:
        ValueError: If an argument is out of range, there are fewer than 2 classes, or the mask
            does not fit the logits.
        TypeError: If an argument is not a number.

    Example:
    >>> loss = keras_kd.losses.DIST()
    >>> teacher = keras.ops.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    >>> student = keras.ops.array([[0.0, 1.0, 2.0], [1.0, 2.0, 0.0]])
    >>> float(loss(teacher, student)) > 0
    True

    Reference:
        - [Huang et al., Knowledge Distillation from A Stronger Teacher, NeurIPS 2022](
            https://arxiv.org/abs/2205.10536)
    """

    default_weight = 2.0
    needs = frozenset({"mask"})
    batch_statistic = True
    min_classes = 2

    def __init__(
        self,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 1.0,
        name: str = "dist",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.beta = check_number("beta", beta, "at least 0")
        self.gamma = check_number("gamma", gamma, "at least 0")
        self.temperature = check_number("temperature", temperature, "above 0")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example or position."""
        answer = unpack(y_true)
        teacher, student = self.logits(answer.teacher, y_pred)
        mask = answer.mask
        if mask is not None:
            mask = ops.cast(per_position("mask", mask, student), "bool")
        temperature = ops.cast(self.temperature, student.dtype)
        return dist(teacher, student, mask, self.beta, self.gamma, temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {
            **super().get_config(),
            "beta": self.beta,
            "gamma": self.gamma,
            "temperature": float(self.temperature),
        }
