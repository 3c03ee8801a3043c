"""Which losses a Term takes, and whose temperature."""

from typing import Any

import keras

from keras_kd._errors import check_type, refusal
from keras_kd.distiller.terms import keras_io
from keras_kd.losses import stock

__all__ = ["check_loss", "check_shared", "default_name"]


def check_loss(loss: Any, teacher: Any, student: Any) -> tuple[keras.losses.Loss, Any, Any]:
    """Returns the loss of a Term, and the paths of the layers that it compares.

    Args:
        loss: What was given, perhaps one of `keras.distillation`.
        teacher: The path of the teacher's layer; `None` for the output.
        student: The path of the student's layer; `None` for the output.

    Raises:
        TypeError: If it is not a loss object.
        ValueError: If it is not reduced, or compares probabilities where signals are logits.
    """
    if keras_io.is_feature_distillation(loss):
        loss, teacher, student = keras_io.feature_distillation(loss, teacher, student)
    loss = keras_io.converted_loss(loss)
    check_type(
        "The loss of a Term",
        loss,
        keras.losses.Loss,
        "be a loss object",
        expected="a keras_kd loss such as keras_kd.losses.SoftTargets(), or a keras.losses.Loss",
        mend="Pass an object, not its name or its function",
    )
    if loss.reduction in (None, "none"):
        raise refusal(
            "The loss of a Term must be reduced to a scalar",
            expected="reduction='sum_over_batch_size'",
            received=f"reduction={loss.reduction!r}",
            mend="Leave the reduction out",
        )
    better = stock.better_on_logits(loss)
    if better and teacher is None and student is None:
        raise refusal(
            "The loss of a Term on outputs must compare logits with logits",
            expected=f"keras_kd.losses.{better}()",
            received=f"keras.losses.{type(loss).__name__}, which compares probabilities",
            mend=f"Replace it by keras_kd.losses.{better}()",
        )
    return loss, teacher, student


def default_name(output: str | None, loss: keras.losses.Loss) -> str:
    """Returns the name of a Term that was given none."""
    return f"{output}_{loss.name}" if output else loss.name


def check_shared(temperature: Any, loss: keras.losses.Loss) -> keras.Variable | None:
    """Returns another Term's temperature, `None` where none is shared.

    Raises:
        TypeError: If it is not a variable, or the loss has no temperature.
    """
    usable = isinstance(temperature, keras.Variable) and hasattr(loss, "temperature")
    if temperature is not None and not usable:
        raise refusal(
            "temperature must be another Term's, for a loss that has a temperature",
            expected="the variable of a Term, e.g. term.temperature",
            received=f"{temperature!r} for {type(loss).__name__}",
            mend="Give a number to the loss instead, e.g. SoftTargets(temperature=2.0)",
            error=TypeError,
        )
    return temperature
