"""What all distillation losses share."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import message


class DistillationLoss(keras.losses.Loss):
    """A loss between a teacher's signal and a student's.

    Subclasses define `call(y_true, y_pred)` with the teacher's signal as `y_true` and the student's
    as `y_pred`, both `(batch, ..., classes)` of any float dtype, and return one value per example
    or per position, `(batch, ...)`. Keras reduces, `keras_kd.Term` weighs.

    Attributes:
        default_weight: The weight that a `Term` takes where none is given.
    """

    default_weight: float = 1.0


def full_precision(x: Any) -> Any:
    """Casts half-precision and integer tensors to float32; wider floats stay as they are.

    Logits of magnitude 1e3 leave float16's range once squared or multiplied by a temperature.
    """
    x = ops.convert_to_tensor(x)
    if keras.backend.standardize_dtype(x.dtype) in ("float32", "float64"):
        return x
    return ops.cast(x, "float32")


def same_shape(a: tuple[int | None, ...], b: tuple[int | None, ...]) -> bool:
    """Whether two shapes agree wherever both are known."""
    return len(a) == len(b) and all(x == y or None in (x, y) for x, y in zip(a, b))


def logits_pair(teacher: Any, student: Any) -> tuple[Any, Any]:
    """Returns both networks' logits in full precision, of one shape.

    Raises:
        ValueError: If the shapes differ: logits are never broadcast.
    """
    teacher, student = full_precision(teacher), full_precision(student)
    if not same_shape(teacher.shape, student.shape):
        raise ValueError(
            message(
                "y_true and y_pred must be the teacher's and the student's logits, of one shape",
                expected=f"y_true of shape {tuple(student.shape)}, as y_pred has",
                received=f"shape {tuple(teacher.shape)}",
                mend="Pass logits of the same classes; labels belong into the hard loss",
            )
        )
    return teacher, student


def weighted_loss(weight: Any, loss: Any) -> Any:
    """Returns `weight * loss`, float64 where that is Keras' floatx, else float32, for a sum."""
    dtype = "float64" if keras.config.floatx() == "float64" else "float32"
    return ops.cast(weight, dtype) * ops.cast(loss, dtype)


def standardize(logits: Any) -> Any:
    """Returns `(z - mean) / (std + 1e-7)` over the last axis, with the unbiased std (ddof=1).

    The gradient flows through mean and std. A constant row gives zeros and a finite gradient.

    Reference:
        - [Sun et al., Logit Standardization in Knowledge Distillation, CVPR 2024](
            https://arxiv.org/abs/2403.01427)
    """
    classes = logits.shape[-1]
    centered = logits - ops.mean(logits, axis=-1, keepdims=True)
    variance = ops.sum(ops.square(centered), axis=-1, keepdims=True) / (classes - 1)
    # The square root of zero has no gradient.
    std = ops.sqrt(ops.maximum(variance, 1e-30))
    return centered / (std + 1e-7)
