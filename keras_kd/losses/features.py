"""What the losses on features share, beside what all losses do."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_kd._errors import refusal
from keras_kd.losses.base import (
    Answer,
    DistillationLoss,
    full_precision,
    per_position,
    same_shape,
    unpack,
)
from keras_kd.losses.sizes import same_sizes

__all__ = ["FeatureLoss", "Features", "flat", "pooled", "spatial", "unit", "zeroed"]

_TINY = 1e-24  # a squared norm below it has no direction


class Features(NamedTuple):
    """Both networks' features in full precision, the student's, and the mask where there is one."""

    teacher: Any
    student: Any
    mask: Any


class FeatureLoss(DistillationLoss):
    """A loss between signals from the inside of two networks.

    Subclasses define `call(y_true, y_pred)` with the teacher's features as `y_true` and the
    student's as `y_pred`, channels last, and may redefine `fits`.

    Attributes:
        rule: What `fits` asks for, for messages.
        one_shape: Whether the features must be of one shape, channels and all.
        needs_pairs: Whether an example alone in its batch teaches nothing.
        mend: What to do about features that do not fit, where not every projector helps.
    """

    shift_invariant = False
    rule: str = "features of one shape (batch, ..., channels)"
    one_shape: bool = True
    needs_pairs: bool = False
    mend: str | None = None

    def fits(self, teacher: tuple, student: tuple) -> bool:
        """Whether features of these shapes can be compared, as far as they are known."""
        return same_shape(teacher, student) and len(student) >= 2

    def unpack(self, y_true: Any) -> Answer:
        """Returns the parts of `y_true`.

        Raises:
            ValueError: If there is a mask that the loss would not heed.
        """
        answer = unpack(y_true)
        if answer.mask is not None and "mask" not in self.needs:
            raise refusal(
                f"{type(self).__name__} must be given no mask in y_true",
                expected="the teacher's features alone",
                received='a dict with "mask"',
                mend="Pass sample_weight with 0 at what does not count",
            )
        return answer

    def pair(self, y_true: Any, y_pred: Any) -> Features:
        """Returns the features, and the mask as booleans with one entry per position.

        Raises:
            ValueError: If the features do not fit each other, or the mask them.
        """
        answer, student = self.unpack(y_true), full_precision(y_pred)
        teacher = ops.cast(full_precision(answer.teacher), student.dtype)
        if not self.fits(tuple(teacher.shape), tuple(student.shape)):
            raise self.misfit(teacher.shape, student.shape)
        mask = answer.mask
        if mask is not None:
            mask = ops.cast(per_position("mask", mask, student), "bool")
        teacher = same_sizes(teacher, student) if self.one_shape else teacher
        return Features(teacher, student, mask)

    def check_positions(self, teacher: Any, student: Any) -> None:
        """Raises where the student's mask does not say which of the teacher's positions count."""
        if not same_shape(teacher.shape[:-1], student.shape[:-1]):
            raise refusal(
                f"{type(self).__name__} must compare the same positions where there is a mask",
                expected=f"the teacher's features at the positions {spatial(student.shape)}",
                received=f"shape {tuple(teacher.shape)}",
                mend="Compare layers of the same positions, or layers after pooling in both",
            )

    def misfit(self, teacher: Any, student: Any) -> ValueError:
        """Returns the error for features that do not fit each other."""
        return refusal(
            f"{type(self).__name__} must compare the teacher's and the student's {self.rule}",
            received=f"shapes {tuple(teacher)} and {tuple(student)}",
            mend=self.mend
            or "Bring the student's features to the teacher's shape, e.g. by a Term's projector",
        )


def zeroed(features: Any, mask: Any) -> Any:
    """Returns features with zeros where the mask is false."""
    if mask is None:
        return features
    return ops.where(ops.expand_dims(mask, axis=-1), features, 0.0)


def flat(features: Any, mask: Any = None) -> Any:
    """Returns one row of features per example, `(batch, size)`; what is masked is 0."""
    return ops.reshape(zeroed(features, mask), (ops.shape(features)[0], -1))


def unit(vectors: Any, floor: float = 0.0) -> Any:
    """Returns `v / (‖v‖ + floor)` along the last axis; 0, without gradient, for zero vectors."""
    squared = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    there = squared > _TINY
    norm = ops.sqrt(ops.where(there, squared, 1.0)) + floor
    return ops.where(there, vectors / norm, 0.0)


def pooled(features: Any, sizes: Sequence[int | None]) -> Any:
    """Averages maps `(batch, ..., channels)` over bins, so that they have the given sizes.

    Bin `i` of `n` over a size `m` reaches from `⌊i·m/n⌋` to `⌈(i+1)·m/n⌉`, as PyTorch's adaptive
    average pooling: bins overlap where `n` does not divide `m`. Sizes of `None` stay as they are.
    """
    for axis, size in enumerate(sizes, start=1):
        given = features.shape[axis]
        if size is not None and size != given:
            bins = ops.cast(_bins(given, size), features.dtype)
            features = ops.moveaxis(ops.tensordot(features, bins, axes=[[axis], [1]]), -1, axis)
    return features


def _bins(given: int, size: int) -> np.ndarray:
    weights = np.zeros((size, given))
    for row in range(size):
        start, stop = row * given // size, -(-(row + 1) * given // size)
        weights[row, start:stop] = 1 / (stop - start)
    return weights


def spatial(shape: Sequence[int | None]) -> tuple[int | None, ...]:
    """Returns the sizes of a map between batch and channels."""
    return tuple(shape[1:-1])
