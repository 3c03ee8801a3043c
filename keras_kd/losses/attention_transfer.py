"""Attention transfer: where a network looks."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.base import same_shape
from keras_kd.losses.features import FeatureLoss, pooled, spatial, unit, zeroed
from keras_kd.losses.sizes import same_positions

__all__ = ["AttentionTransfer", "attention"]


def attention(features: Any, power: float) -> Any:
    """Returns each example's `mean_channels |F|^power`, one row, of length 1.

    Args:
        features: `(batch, ..., channels)`.
        power: Exponent.
    """
    # A power below 1 has no gradient at 0.
    size = ops.square(features) if power == 2 else ops.maximum(ops.abs(features), 1e-12) ** power
    return unit(ops.reshape(ops.mean(size, axis=-1), (ops.shape(features)[0], -1)))


@keras.saving.register_keras_serializable(package="keras_kd")
class AttentionTransfer(FeatureLoss):
    """The student looks where the teacher looks: where its features are large.

    `mean_positions (A_s - A_t)²` with `A = a/‖a‖`, `a = mean_channels |F|^p`. The number of
    channels is free. Where the maps' sizes differ, the larger one is average pooled to the smaller
    along each axis. For networks of one family; across architectures it hurts.

    Args:
        power: `p`, above 0. Default 2.
        name: Name of the loss. Default `"attention_transfer"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 1000.0, the authors', for the mean over positions; the paper's norm is
            larger.

    Call arguments:
        y_true: The teacher's features, `(batch, ..., channels)` with at least one axis of
            positions, any float dtype; or a dict `{"teacher": features, "mask": mask}` with a mask
            `(batch, ...)`, which leaves positions out.
        y_pred: The student's features, with as many axes.

    Call returns:
        One value per example, `(batch,)`, float32 (float64 for float64 inputs). Features that are
        all 0 have no gradient.

    Raises:
        ValueError: If the ranks differ, or `power` is out of range.
        TypeError: If `power` is not a number.

    Example:
    >>> maps = keras.random.normal((2, 8, 8, 16)), keras.random.normal((2, 4, 4, 6))
    >>> keras_kd.losses.AttentionTransfer().call(*maps).shape[0]
    2

    Reference:
        - [Zagoruyko and Komodakis, Paying More Attention to Attention, ICLR 2017](
            https://arxiv.org/abs/1612.03928)
    """

    default_weight = 1000.0
    needs = frozenset({"mask"})
    one_shape = False
    rule = "maps (batch, positions ..., channels) of one rank, at least 3"

    def __init__(
        self,
        power: float = 2.0,
        name: str = "attention_transfer",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.power = check_number("power", power, "above 0")

    def fits(self, teacher: tuple, student: tuple) -> bool:
        """Whether there are maps of one rank."""
        return len(teacher) == len(student) >= 3 and same_shape(teacher[:1], student[:1])

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example."""
        teacher, student, mask = self.pair(y_true, y_pred)
        sizes = [
            None if None in (t, s) else min(t, s)
            for t, s in zip(spatial(teacher.shape), spatial(student.shape))
        ]
        if mask is not None:
            self.check_positions(teacher, student)
        t, s = (pooled(features, sizes) for features in (teacher, student))
        maps = (zeroed(features, mask) for features in (same_positions(t, s), s))
        t, s = (attention(features, self.power) for features in maps)
        gaps = ops.square(s - t)
        if mask is None:
            return ops.mean(gaps, axis=-1)
        counted = ops.reshape(ops.cast(mask, gaps.dtype), ops.shape(gaps))
        return ops.sum(gaps * counted, axis=-1) / ops.maximum(ops.sum(counted, axis=-1), 1.0)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {**super().get_config(), "power": self.power}
