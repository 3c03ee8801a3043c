"""From a Term's two signals to one that its loss can compare: shapes, and the projector."""

from typing import Any

import keras

from keras_kd._errors import check_type, refusal
from keras_kd.losses import DistillationLoss, Variational
from keras_kd.losses.base import same_shape
from keras_kd.networks import projectors
from keras_kd.networks.projectors import Projector

__all__ = ["Shape", "built", "check_projector", "connected", "fits", "misfit"]

Shape = tuple[int | None, ...]


def fits(loss: keras.losses.Loss, teacher: Shape, student: Any) -> bool:
    """Whether a loss can compare signals of these shapes, as far as they are known."""
    if isinstance(loss, DistillationLoss):
        return loss.fits(teacher, student)
    return same_shape(teacher, student)


def check_projector(projector: Any) -> Any:
    """Returns a Term's projector if it is a layer, `"auto"` or `None`.

    Raises:
        TypeError: If it is something else.
    """
    if projector is None or projector == "auto":
        return projector
    return check_type(
        "projector",
        projector,
        keras.layers.Layer,
        "turn the student's signal into one of the teacher's shape",
        expected="'auto', a layer, or None for signals that fit each other",
        example="auto",
    )


def connected(
    term: str,
    loss: keras.losses.Loss,
    projector: Any,
    teacher: Shape,
    student: Shape,
    again: bool = False,
) -> keras.layers.Layer | None:
    """Returns the projector, built, that lets a loss compare two signals; `None` if none is needed.

    Args:
        term: The Term's name, for messages.
        loss: Its loss.
        projector: Its projector, as it was given.
        teacher: Shape of the teacher's signal.
        student: Shape of the student's signal.
        again: Whether the Term has been connected to signals before.

    Raises:
        ValueError: If the signals do not fit each other after it.
    """
    mend = _mend(loss, projector, teacher, student, again)
    if projector is None or (projector == "auto" and fits(loss, teacher, student)):
        if not fits(loss, teacher, student):
            raise misfit(term, loss, teacher, student, mend)
        return None
    if projector == "auto":
        _check_alike(term, teacher, student)
        # A loss of a mean and a log-scale needs both of them from its projector.
        kind = projectors.Variational if isinstance(loss, Variational) else projectors.Linear
        projector = kind(name="projector")
    if isinstance(projector, Projector):
        projector.aim_at(teacher)
    fresh = "Pass another layer"
    if projector.built:
        fresh = "Pass a new layer, because this one has been built for other signals"
    projected = built(term, projector, student, mend if again else fresh)
    if not fits(loss, teacher, projected):
        raise misfit(term, loss, teacher, projected, mend)
    return projector


def _mend(
    loss: keras.losses.Loss, projector: Any, teacher: Shape, student: Shape, again: bool
) -> str:
    """Returns what to do where signals do not fit after a projector as it was given."""
    if again:
        return "Make a new Term, because this one has been connected to other signals before"
    if getattr(loss, "mend", None):
        return loss.mend
    if projector == "auto" or not fits(loss, teacher, teacher):
        return "Compare other layers"
    if projector is None:
        return "Pass projector='auto', or a layer" if _alike(teacher, student) else _A_LAYER
    return "Correct the projector's last layer"


_A_LAYER = "Compare other layers, or pass a layer that gives the teacher's shape"


def _alike(teacher: Shape, student: Shape) -> bool:
    """Whether a projector of the channels, and of a map's sizes, can help."""
    are_alike = len(teacher) == len(student) >= 2 and teacher[-1] and student[-1]
    can_be_resized = len(teacher) == 4 and None not in teacher[1:3]
    return bool(are_alike and (can_be_resized or same_shape(teacher[1:-1], student[1:-1])))


def _check_alike(term: str, teacher: Shape, student: Shape) -> None:
    """Raises where no projector of the channels, and of a map's sizes, can help."""
    if not _alike(teacher, student):
        pools = len(teacher) == 2 and len(student) in (3, 4)
        units = teacher[-1] or "units"
        pooling = f"keras.layers.GlobalAveragePooling{len(student) - 2}D()"
        raise refusal(
            f"projector='auto' of term {term!r} must have signals of one rank, with known "
            "channels and, but for maps, of the same positions",
            expected=f"a student's signal like the teacher's {tuple(teacher)}",
            received=f"shape {tuple(student)}",
            mend=f"Pass keras.Sequential([{pooling}, keras.layers.Dense({units})])"
            if pools
            else _A_LAYER,
        )


def built(
    term: str, projector: keras.layers.Layer, student: Shape, mend: str = "Pass another layer"
) -> Any:
    """Builds the projector by a call of it; returns the shape of what it gives, or several."""
    try:
        output = projector(keras.KerasTensor(student, "float32"))
    except Exception as error:
        raise refusal(
            f"projector of term {term!r} must take the student's signal",
            expected=f"a layer for shape {tuple(student)}",
            received=f"{type(projector).__name__}, which says: {error}",
            mend=mend,
        ) from error
    if isinstance(output, keras.KerasTensor):
        return tuple(output.shape)
    return tuple(tuple(part.shape) for part in keras.tree.flatten(output))


def misfit(
    term: str,
    loss: keras.losses.Loss,
    teacher: Any,
    student: Any,
    mend: str = "Pass a layer as the projector, or models with known sizes",
) -> ValueError:
    """Returns the error for signals that a Term's loss cannot compare."""
    rule = getattr(loss, "rule", "one shape")
    return refusal(
        f"Teacher's and student's signals must fit the loss of term {term!r}, "
        f"{type(loss).__name__}, which takes {rule}",
        expected=f"a student's signal that fits the teacher's shape {tuple(teacher)}",
        received=f"shape {tuple(student)}",
        mend=mend,
    )
