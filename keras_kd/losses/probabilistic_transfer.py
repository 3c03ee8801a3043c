"""Probabilistic knowledge transfer: the same neighbours, with the same probabilities."""

from typing import Any

import keras
from keras import ops

from keras_kd.losses.features import unit
from keras_kd.losses.relations import RelationLoss, products

__all__ = ["ProbabilisticTransfer", "neighbours", "probabilistic_transfer"]

_FLOOR = 1e-7  # of norms and probabilities, as in the authors' code


def neighbours(rows: Any) -> Any:
    """Returns the probability of each example to be each one's neighbour, from cosines."""
    likeness = (products(unit(rows, _FLOOR)) + 1.0) / 2.0
    return likeness / ops.sum(likeness, axis=-1, keepdims=True)


def probabilistic_transfer(teacher: Any, student: Any) -> Any:
    """Returns `mean_j p·log(p/q)_ij` of each example `i`.

    Args:
        teacher: `(batch, size)`.
        student: `(batch, other size)`.
    """
    p, q = neighbours(teacher), neighbours(student)
    return ops.mean(p * ops.log((p + _FLOOR) / (q + _FLOOR)), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class ProbabilisticTransfer(RelationLoss):
    """The student's features have the same neighbours as the teacher's.

    `mean_ij p_ij·log(p_ij/q_ij)` where `p_i` and `q_i` are the rows of `(cos + 1)/2`, each of sum
    1: how probably example `j` is a neighbour of example `i` to the teacher and to the student. The
    best value among the losses on relations. Made for the pooled features before the last layer; no
    projector is needed. With several replicas each compares its own share of the batch, and an
    example of weight 0 still counts in the others' rows.

    Args:
        name: Name of the loss. Default `"probabilistic_transfer"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 30000.0, for pooled features.

    Call arguments:
        y_true: The teacher's features, `(batch, ...)`, any float dtype; or a dict
            `{"teacher": features, "mask": mask}` with a mask of the student's positions, which
            leaves them out in both networks.
        y_pred: The student's features, `(batch, ...)`, of any other size.

    Call returns:
        One value per example, its row's share, `(batch,)`, float32 (float64 for float64 inputs); 0
        for an example alone in its batch. Features that are all 0 have no gradient.

    Raises:
        ValueError: If features lack the batch axis, or the mask does not fit.

    Example:
    >>> features = keras.random.normal((8, 32)), keras.random.normal((8, 6))
    >>> keras_kd.losses.ProbabilisticTransfer().call(*features).shape[0]
    8

    Reference:
        - [Passalis and Tefas, Learning Deep Representations with Probabilistic Knowledge Transfer,
            ECCV 2018](https://arxiv.org/abs/1803.10837)
    """

    default_weight = 30000.0

    def __init__(
        self,
        name: str = "probabilistic_transfer",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example."""
        return probabilistic_transfer(*self.rows(y_true, y_pred))
