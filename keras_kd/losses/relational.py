"""Relational distillation: distances and angles between the examples of a batch."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.relations import RelationLoss, products

__all__ = ["Relational", "cosines", "differences", "normalized", "relational", "smooth_l1"]

# Squared distances below this share of the features' own squares are rounding.
_ROUNDING = 1e-6


def smooth_l1(difference: Any) -> Any:
    """Returns `x²/2` where `|x| < 1`, else `|x| - 1/2`."""
    size = ops.abs(difference)
    return ops.where(size < 1.0, 0.5 * ops.square(size), size - 0.5)


def differences(rows: Any) -> tuple[Any, Any, Any]:
    """Returns the products of the rows, their distances and where two rows differ at all.

    Only products are kept: the differences of all pairs would fill the memory.
    """
    gram = products(rows - ops.mean(rows, axis=0, keepdims=True))  # less cancels
    squares = ops.diagonal(gram)
    sums = ops.expand_dims(squares, 0) + ops.expand_dims(squares, 1)
    squared = sums - 2.0 * gram
    apart = ops.logical_and(squared > _ROUNDING * sums, squared > 1e-12)
    apart = ops.logical_and(apart, ops.logical_not(ops.eye(ops.shape(rows)[0], dtype="bool")))
    return gram, ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0), apart


def normalized(distances: Any) -> Any:
    """Returns distances over their mean between two examples; zeros where all are zero."""
    count = ops.cast(ops.shape(distances)[0], distances.dtype)
    mean = ops.sum(distances) / ops.maximum(count * (count - 1.0), 1.0)
    there = mean > 0.0
    return ops.where(there, distances / ops.where(there, mean, 1.0), 0.0)


def cosines(gram: Any, distances: Any, apart: Any) -> Any:
    """Returns the cosine at vertex `i` between examples `j` and `k`, `(batch, batch, batch)`."""
    inverse = ops.where(apart, 1.0 / ops.where(apart, distances, 1.0), 0.0)
    own = ops.expand_dims(ops.expand_dims(ops.diagonal(gram), -1), -1)
    to_own = ops.expand_dims(gram, 2) + ops.expand_dims(gram, 1)
    scalar = ops.expand_dims(gram, 0) - to_own + own
    return scalar * ops.expand_dims(inverse, 2) * ops.expand_dims(inverse, 1)


def relational(teacher: Any, student: Any, distance_weight: float, angle_weight: float) -> Any:
    """Returns the shares of each example in the distances, and in the angles at it.

    Args:
        teacher: `(batch, size)`.
        student: `(batch, other size)`.
        distance_weight: Weight of the distances; at 0 they are not computed.
        angle_weight: Weight of the angles; at 0 they are not computed.
    """
    t, s = differences(teacher), differences(student)
    value = 0.0 * ops.sum(student, axis=-1)
    if distance_weight:
        gaps = smooth_l1(normalized(s[1]) - normalized(t[1]))
        value = value + distance_weight * ops.mean(gaps, axis=-1)
    if angle_weight:
        gaps = smooth_l1(cosines(*s) - cosines(*t))
        value = value + angle_weight * ops.mean(gaps, axis=(-2, -1))
    return value


@keras.saving.register_keras_serializable(package="keras_kd")
class Relational(RelationLoss):
    """The student keeps the distances between the examples, and the angles of their triangles.

    `w_D·mean_ij l(d_s - d_t) + w_A·mean_ijk l(cos_s - cos_t)`, `l` the smooth L1, `d` the distance
    of two examples over the batch's mean one, `cos` the cosine at `i` in the triangle of `i`, `j`,
    `k`. No projector is needed. The angles take memory for several tensors of `B³` numbers: 115 MB
    were measured for a batch of 128 and 494 MB for 256; with `angle_weight=0` none. With several
    replicas each compares its own share of the batch, and an example of weight 0 still counts in
    the others' shares.

    Args:
        distance_weight: `w_D`, at least 0. Default 25.0.
        angle_weight: `w_A`, at least 0. Default 50.0.
        name: Name of the loss. Default `"relational"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Call arguments:
        y_true: The teacher's features, `(batch, ...)`, any float dtype; or a dict
            `{"teacher": features, "mask": mask}` with a mask of the student's positions, which
            leaves them out in both networks.
        y_pred: The student's features, `(batch, ...)`, of any other size.

    Call returns:
        One value per example, `(batch,)`, float32 (float64 for float64 inputs); 0 for an example
        alone in its batch. Examples of equal features have distance 0 and no direction between
        them; their gradient stays finite.

    Raises:
        ValueError: If features lack the batch axis, the mask does not fit, or a weight is out of
            range.
        TypeError: If a weight is not a number.

    Example:
    >>> features = keras.random.normal((8, 32)), keras.random.normal((8, 6))
    >>> keras_kd.losses.Relational().call(*features).shape[0]
    8

    Reference:
        - [Park et al., Relational Knowledge Distillation, CVPR 2019](
            https://arxiv.org/abs/1904.05068)
    """

    def __init__(
        self,
        distance_weight: float = 25.0,
        angle_weight: float = 50.0,
        name: str = "relational",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.distance_weight = check_number("distance_weight", distance_weight, "at least 0")
        self.angle_weight = check_number("angle_weight", angle_weight, "at least 0")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example."""
        rows = self.rows(y_true, y_pred)
        return relational(*rows, self.distance_weight, self.angle_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {
            **super().get_config(),
            "distance_weight": self.distance_weight,
            "angle_weight": self.angle_weight,
        }
