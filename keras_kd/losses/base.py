"""What all distillation losses share."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_kd._errors import refusal
from keras_kd.losses.sizes import same_sizes

__all__ = [
    "Answer",
    "DistillationLoss",
    "bernoulli_kl",
    "categorical_kl",
    "far_below",
    "full_precision",
    "logits_pair",
    "loss_dtype",
    "per_position",
    "same_shape",
    "split_target",
    "standardize",
    "target_mask",
    "unpack",
    "weighted_loss",
]


def far_below(logits: Any) -> Any:
    """Returns a number below all logits, yet finite: its exponential is 0, no difference is NaN."""
    # PyTorch would make a float16 of a plain number where that is Keras' floatx.
    return ops.convert_to_tensor(-1e30, logits.dtype)


class DistillationLoss(keras.losses.Loss):
    """A loss between a teacher's signal and a student's.

    Subclasses define `call(y_true, y_pred)` with the teacher's signal as `y_true` and the student's
    as `y_pred`, both `(batch, ..., classes)` of any float dtype, and return one value per example
    or per position, `(batch, ...)`. Keras reduces, `keras_kd.Term` weighs.

    A loss that needs more than the pair says so in `needs`; its `y_true` may then be a dict
    `{"teacher": ..., "labels": ..., "mask": ...}`, of which only `"teacher"` is required.

    Attributes:
        default_weight: The weight that a `Term` takes where none is given.
        needs: What `call` uses besides the pair: any of `"labels"` and `"mask"`.
        batch_statistic: Whether an example's value depends on the other examples of its batch.
        min_classes: With fewer classes the loss teaches nothing, or is not defined.
        shift_invariant: Whether a constant added to all logits of a position changes nothing, so
            that the logarithm of a softmax serves, too.
        reads_twice: Whether the teacher's logits are read at temperature 1 as well as at the
            loss's own, so that no one mean of several teachers serves both.
    """

    default_weight: float = 1.0
    needs: frozenset[str] = frozenset()
    batch_statistic: bool = False
    min_classes: int = 1
    shift_invariant: bool = True
    reads_twice: bool = False

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size"):
        # Half precision holds neither large losses nor class ids above 256 (bfloat16).
        super().__init__(name=name, reduction=reduction, dtype=loss_dtype())

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Returns the reduced loss, as `keras.losses.Loss` does."""
        if isinstance(y_true, dict):
            # Keras makes a tensor of every entry.
            y_true = {name: value for name, value in y_true.items() if value is not None}
        return super().__call__(y_true, y_pred, sample_weight)

    def check_classes(self, classes: int | None, where: str = "") -> None:
        """Raises a `ValueError` where there are fewer classes than `min_classes`.

        Args:
            classes: The size of the logits' last axis, where it is known.
            where: What the loss belongs to, e.g. `" in term 'dist'"`.
        """
        if classes is not None and classes < self.min_classes:
            raise refusal(
                f"{type(self).__name__}{where} must compare at least {self.min_classes} classes",
                expected=f"logits with a last axis of {self.min_classes} or more",
                received=f"{classes}",
                mend="Use MultiLabelSoftTargets for sigmoid outputs, SoftTargets for 2 classes",
            )

    def fits(self, teacher: tuple, student: tuple) -> bool:
        """Whether signals of these shapes can be compared, as far as they are known."""
        return same_shape(teacher, student)

    def logits(self, teacher: Any, student: Any) -> tuple[Any, Any]:
        """Returns `logits_pair(teacher, student)` where there are enough classes."""
        teacher, student = logits_pair(teacher, student)
        self.check_classes(student.shape[-1])
        return teacher, student


class Answer(NamedTuple):
    """What came as `y_true`: the teacher's signal, and what else is known."""

    teacher: Any
    labels: Any = None
    mask: Any = None


def unpack(y_true: Any) -> Answer:
    """Returns the parts of `y_true`, which is the teacher's signal or a dict with it.

    Raises:
        ValueError: If a dict lacks `"teacher"` or has other keys than an `Answer`'s.
    """
    if not isinstance(y_true, dict):
        return Answer(y_true)
    if "teacher" not in y_true or not set(y_true) <= set(Answer._fields):
        raise refusal(
            "y_true must be the teacher's signal, or a dict with it",
            expected='the key "teacher" and, where they are known, "labels" and "mask"',
            received=f"keys {sorted(map(str, y_true))}",
            mend='Pass e.g. {"teacher": logits, "labels": class_ids}',
        )
    return Answer(**y_true)


def loss_dtype() -> str:
    """Returns float64 where that is Keras' floatx, else float32."""
    return "float64" if keras.config.floatx() == "float64" else "float32"


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
    """Returns both networks' logits in full precision, the student's, and of one shape.

    Raises:
        ValueError: If the shapes differ (logits are never broadcast) or lack the batch.
    """
    student = full_precision(student)
    teacher = ops.cast(full_precision(teacher), student.dtype)
    if not same_shape(teacher.shape, student.shape) or len(student.shape) < 2:
        raise refusal(
            "y_true and y_pred must be logits of one shape, (batch, ..., classes)",
            received=f"shapes {tuple(teacher.shape)} and {tuple(student.shape)}",
            mend="Pass logits of the same classes; labels belong into the hard loss",
        )
    return same_sizes(teacher, student), student


def per_position(name: str, values: Any, logits: Any) -> Any:
    """Returns class ids or a mask with one entry per example or position of `logits`.

    Raises:
        ValueError: If they have another shape; a last axis of 1 is taken off.
    """
    values, shape = ops.convert_to_tensor(values), tuple(logits.shape[:-1])
    if len(values.shape) == len(shape) + 1 and values.shape[-1] == 1:
        values = ops.squeeze(values, axis=-1)
    if not same_shape(values.shape, shape):
        raise refusal(
            f"{name} must have one entry per example or position",
            expected=f"shape {shape}, that of the logits without the classes",
            received=f"shape {tuple(values.shape)}",
            mend="Pass class ids, not one-hot vectors"
            if name == "labels"
            else "Pass the mask of the positions",
        )
    return values


def target_mask(labels: Any, teacher: Any) -> Any:
    """Returns a boolean tensor, true at each position's target class.

    The target is the label, or the teacher's top class where there is none: no `labels` at all, or
    an id outside the classes, such as -1.

    Args:
        labels: Class ids of any dtype, one per position of `teacher`, or `None`.
        teacher: The teacher's logits, `(batch, ..., classes)`.
    """
    ids = ops.cast(ops.argmax(teacher, axis=-1), "int32")
    classes = ops.shape(teacher)[-1]
    if labels is not None:
        labels = ops.cast(per_position("labels", labels, teacher), "int32")
        known = ops.logical_and(labels >= 0, labels < classes)
        ids = ops.where(known, labels, ids)
    return ops.expand_dims(ids, axis=-1) == ops.arange(classes, dtype="int32")


def split_target(logits: Any, target: Any) -> tuple[Any, Any]:
    """Returns `log(p_y / (1 - p_y))`, and the log-softmax over the other classes.

    The target's own entry in the latter is about -1e30, whose exponential is 0.

    Args:
        logits: `(..., classes)`.
        target: Boolean, same shape, true at the target class `y`.
    """
    others = ops.where(target, far_below(logits), logits)
    top = ops.stop_gradient(ops.max(others, axis=-1, keepdims=True))
    others = others - top
    log_sum = ops.log(ops.sum(ops.exp(others), axis=-1, keepdims=True))
    own = ops.sum(ops.where(target, logits - top, 0.0), axis=-1, keepdims=True)
    return ops.squeeze(own - log_sum, axis=-1), others - log_sum


def categorical_kl(log_p: Any, log_q: Any) -> Any:
    """Returns `KL(p ‖ q)` over the last axis, from logarithms."""
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


def bernoulli_kl(teacher: Any, student: Any) -> Any:
    """Returns `KL(Bernoulli(σ(teacher)) ‖ Bernoulli(σ(student)))` of each element."""
    on = ops.log_sigmoid(teacher) - ops.log_sigmoid(student)
    off = ops.log_sigmoid(-teacher) - ops.log_sigmoid(-student)
    return ops.sigmoid(teacher) * on + ops.sigmoid(-teacher) * off


def weighted_loss(weight: Any, loss: Any) -> Any:
    """Returns `weight * loss` in `loss_dtype()`, for a sum; 0 for a weight of 0."""
    weight, loss = ops.cast(weight, loss_dtype()), ops.cast(loss, loss_dtype())
    return weight * ops.where(weight == 0.0, 0.0, loss)  # 0 · inf is NaN


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
