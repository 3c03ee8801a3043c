"""What keras.io's example and keras.distillation write, in the words of keras_kd."""

from typing import Any

import keras

from keras_kd._errors import message
from keras_kd.losses import SoftTargets, stock


def hard_loss(loss: Any, student_loss_fn: Any) -> Any:
    """Returns the one of the two that was given; `student_loss_fn` is keras.io's name of `loss`."""
    if loss is not None and student_loss_fn is not None:
        raise ValueError(
            message(
                "loss must be given once",
                expected="loss= or student_loss_fn=",
                received="both",
                mend="Leave out student_loss_fn, keras.io's name for the same thing",
            )
        )
    return student_loss_fn if loss is None else loss


def temperature(distillation_loss_fn: Any, given: float | None) -> float | None:
    """Returns the temperature that `compile(distillation_loss_fn=, temperature=)` asks for.

    keras.io's `KLDivergence()` on softened probabilities and `LogitsDistillation` are the soft
    targets of the plain form, so all they leave to say is the temperature.
    """
    if distillation_loss_fn is None or _is_kl_divergence(distillation_loss_fn):
        return given
    converted = converted_loss(distillation_loss_fn)
    if isinstance(converted, SoftTargets) and not converted.standardize:
        return converted.temperature if given is None else given
    raise ValueError(
        message(
            "distillation_loss_fn must be the KL divergence of keras.io's example",
            expected="keras.losses.KLDivergence()",
            received=repr(distillation_loss_fn),
            mend="Pass other losses to the Distiller, as terms=[...]",
        )
    )


def converted_loss(loss: Any) -> Any:
    """Returns `SoftTargets` for `keras.distillation.LogitsDistillation`, anything else unchanged.

    Raises:
        ValueError: For an object of `keras.distillation` that has no equal here.
    """
    peer = getattr(keras, "distillation", None)
    if peer is None or not isinstance(loss, peer.DistillationLoss):
        return loss
    inner = getattr(loss, "loss", None)
    if isinstance(loss, peer.LogitsDistillation) and _is_kl_divergence(inner):
        return SoftTargets(temperature=loss.temperature)
    raise ValueError(
        message(
            "A loss of keras.distillation must be LogitsDistillation with the KL divergence",
            expected="keras.distillation.LogitsDistillation(temperature=...)",
            received=f"{type(loss).__name__} with {inner!r}",
            mend="Use a loss of keras_kd.losses",
        )
    )


def _is_kl_divergence(loss: Any) -> bool:
    return stock.name_of(loss) == "kl_divergence"
