"""Channel-wise distillation: where in the image each channel is active."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_number
from keras_kd.losses.base import categorical_kl, far_below
from keras_kd.losses.features import FeatureLoss

__all__ = ["ChannelWise", "channel_wise"]


def channel_wise(teacher: Any, student: Any, mask: Any, temperature: Any) -> Any:
    """Returns `T²·mean_channels KL` of each example, over the softmax of a channel's positions.

    Args:
        teacher: Maps, `(batch, ..., channels)`.
        student: Maps, same shape.
        mask: Boolean, `(batch, ...)`, true where a position counts, or `None` for all.
        temperature: `T`.
    """
    rows = (ops.shape(student)[0], -1, ops.shape(student)[-1])
    log_p, log_q = (
        ops.log_softmax(ops.reshape(_marked(maps / temperature, mask), rows), axis=1)
        for maps in (teacher, student)
    )
    kl = categorical_kl(*(ops.swapaxes(logs, 1, 2) for logs in (log_p, log_q)))
    return temperature**2 * ops.mean(kl, axis=-1)


def _marked(maps: Any, mask: Any) -> Any:
    return (
        maps if mask is None else ops.where(ops.expand_dims(mask, axis=-1), maps, far_below(maps))
    )


@keras.saving.register_keras_serializable(package="keras_kd")
class ChannelWise(FeatureLoss):
    """Each of the student's channels is active at the places where the teacher's is.

    `T²·mean_channels KL(p ‖ q)` with `p` and `q` the softmax over all positions of a channel of
    `F/T`. Made for dense prediction, on the maps of logits or on features; a projector brings the
    student to the teacher's channels.

    Args:
        temperature: `T`, above 0. Default 4.0.
        name: Name of the loss. Default `"channel_wise"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 3.0, the paper's for logits.

    Call arguments:
        y_true: The teacher's maps, `(batch, ..., channels)` with at least one axis of positions,
            any float dtype; or a dict `{"teacher": maps, "mask": mask}` with a mask `(batch, ...)`,
            which leaves positions out.
        y_pred: The student's maps, same shape.

    Call returns:
        One value per example, `(batch,)`, float32 (float64 for float64 inputs). Finite for maps up
        to 1e4 in magnitude.

    Raises:
        ValueError: If the shapes differ, the mask does not fit, or `temperature` is not positive
            and finite.
        TypeError: If `temperature` is not a number.

    Example:
    >>> maps = keras.random.normal((2, 8, 8, 16)), keras.random.normal((2, 8, 8, 16))
    >>> keras_kd.losses.ChannelWise().call(*maps).shape[0]
    2

    Reference:
        - [Shu et al., Channel-wise Knowledge Distillation for Dense Prediction, ICCV 2021](
            https://arxiv.org/abs/2011.13256)
    """

    default_weight = 3.0
    needs = frozenset({"mask"})
    rule = "maps of one shape (batch, positions ..., channels)"

    def __init__(
        self,
        temperature: float = 4.0,
        name: str = "channel_wise",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.temperature = check_number("temperature", temperature, "above 0")

    def fits(self, teacher: tuple, student: tuple) -> bool:
        """Whether there are maps of one shape."""
        return super().fits(teacher, student) and len(student) >= 3

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example."""
        teacher, student, mask = self.pair(y_true, y_pred)
        temperature = ops.cast(self.temperature, student.dtype)
        return channel_wise(teacher, student, mask, temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {**super().get_config(), "temperature": float(self.temperature)}
