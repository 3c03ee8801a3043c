"""Similarity preserving: examples that are alike to the teacher are alike to the student."""

from typing import Any

import keras
from keras import ops

from keras_kd.losses.features import unit
from keras_kd.losses.relations import RelationLoss, products

__all__ = ["SimilarityPreserving", "similarity_preserving"]


def similarity_preserving(teacher: Any, student: Any) -> Any:
    """Returns `mean_j (G_t - G_s)²_ij` of each example `i`, `G` the rows of `F·Fᵀ` at length 1.

    Args:
        teacher: `(batch, size)`.
        student: `(batch, other size)`.
    """
    t, s = (unit(products(rows)) for rows in (teacher, student))
    return ops.mean(ops.square(t - s), axis=-1)


@keras.saving.register_keras_serializable(package="keras_kd")
class SimilarityPreserving(RelationLoss):
    """Examples that are alike to the teacher become alike to the student.

    `‖G_t - G_s‖²/B²` with `G` the rows of `F·Fᵀ`, each of length 1, over a batch of `B` examples.
    No projector is needed. With several replicas each compares its own share of the batch, and an
    example of weight 0 still counts in the others' rows.

    Args:
        name: Name of the loss. Default `"similarity_preserving"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 3000.0, the authors'.

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
    >>> features = keras.random.normal((8, 4, 4, 16)), keras.random.normal((8, 6))
    >>> keras_kd.losses.SimilarityPreserving().call(*features).shape[0]
    8

    Reference:
        - [Tung and Mori, Similarity-Preserving Knowledge Distillation, ICCV 2019](
            https://arxiv.org/abs/1907.09682)
    """

    default_weight = 3000.0

    def __init__(
        self,
        name: str = "similarity_preserving",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example."""
        return similarity_preserving(*self.rows(y_true, y_pred))
