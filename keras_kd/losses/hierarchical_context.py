"""Hierarchical context: maps compared at several resolutions."""

from typing import Any

import keras
from keras import ops

from keras_kd.losses.features import FeatureLoss, pooled, spatial

__all__ = ["HierarchicalContext", "hierarchical_context"]

_LEVELS = (4, 2, 1)


def hierarchical_context(teacher: Any, student: Any) -> Any:
    """Returns each example's weighted mean of squared differences, over the levels of a pyramid.

    Args:
        teacher: Maps, `(batch, height, width, channels)`.
        student: Maps, same shape.
    """
    sizes = spatial(student.shape)
    total, weights, weight = _mean_square(student - teacher), 1.0, 1.0
    for level in _LEVELS:
        if level >= max(sizes):
            continue
        weight /= 2
        smaller = [min(level, size) for size in sizes]
        total = total + weight * _mean_square(pooled(student - teacher, smaller))
        weights += weight
    return total / weights


def _mean_square(maps: Any) -> Any:
    return ops.mean(ops.square(maps), axis=(1, 2, 3))


@keras.saving.register_keras_serializable(package="keras_kd")
class HierarchicalContext(FeatureLoss):
    """The student's maps follow the teacher's at full size and, with half the weight each, pooled.

    ReviewKD's loss: mean squared differences of the maps, and of their average pools to 4×4, 2×2
    and 1×1, weighted 1, ½, ¼, ⅛ over the sum of the weights used. A level as large as the map is
    left out; on a map that is smaller along one axis, that axis stays as it is.

    Args:
        name: Name of the loss. Default `"hierarchical_context"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 1.0 for each pair of layers; the authors let it grow over 20 epochs.

    Call arguments:
        y_true: The teacher's maps, `(batch, height, width, channels)` of known sizes, any float
            dtype.
        y_pred: The student's maps, same shape.

    Call returns:
        One value per example, `(batch,)`, float32 (float64 for float64 inputs).

    Raises:
        ValueError: If the shapes differ, height or width are not known, or there is a mask.

    Example:
    >>> maps = keras.random.normal((2, 8, 8, 16)), keras.random.normal((2, 8, 8, 16))
    >>> keras_kd.losses.HierarchicalContext().call(*maps).shape[0]
    2

    Reference:
        - [Chen et al., Distilling Knowledge via Knowledge Review, CVPR 2021](
            https://arxiv.org/abs/2104.09044)
    """

    rule = "maps of one shape (batch, height, width, channels), height and width known"

    def __init__(
        self,
        name: str = "hierarchical_context",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)

    def fits(self, teacher: tuple, student: tuple) -> bool:
        """Whether there are maps of one shape, of known size."""
        known = None not in (*teacher[1:3], *student[1:3])
        return super().fits(teacher, student) and len(student) == 4 and known

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example."""
        teacher, student, _ = self.pair(y_true, y_pred)
        return hierarchical_context(teacher, student)
