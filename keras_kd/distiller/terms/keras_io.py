"""What keras.io's example and keras.distillation write, in the words of keras_kd."""

from collections.abc import Callable
from typing import Any

import keras

from keras_kd._errors import refusal
from keras_kd.losses import SoftTargets, stock

__all__ = [
    "FunctionLoss",
    "converted_loss",
    "feature_distillation",
    "hard_loss",
    "is_feature_distillation",
    "temperature",
]


def hard_loss(loss: Any, student_loss_fn: Any) -> Any:
    """Returns the one of the two that was given; `student_loss_fn` is keras.io's name of `loss`."""
    if loss is not None and student_loss_fn is not None:
        raise refusal(
            "loss must be given once, as loss= or student_loss_fn=",
            received="both",
            mend="Leave out student_loss_fn, keras.io's name for the same thing",
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
    plain = isinstance(converted, SoftTargets) and not converted.standardize
    if plain and converted.student_power == 1:
        return converted.temperature if given is None else given
    raise refusal(
        "distillation_loss_fn must be keras.losses.KLDivergence(), as in keras.io's example",
        received=repr(distillation_loss_fn),
        mend="Pass other losses to the Distiller, as terms=[...]",
    )


def converted_loss(loss: Any) -> Any:
    """Returns `SoftTargets` for `keras.distillation.LogitsDistillation`, anything else unchanged.

    Raises:
        ValueError: For an object of `keras.distillation` that has no equal here.
    """
    peer = _peer(loss)
    if peer is None:
        return loss
    inner = getattr(loss, "loss", None)
    if isinstance(loss, peer.LogitsDistillation) and _is_kl_divergence(inner):
        return SoftTargets(temperature=loss.temperature)
    raise refusal(
        "A loss of keras.distillation must be FeatureDistillation, or LogitsDistillation with "
        "the KL divergence",
        received=f"{type(loss).__name__} with {inner!r}",
        mend="Use a loss of keras_kd.losses",
    )


def is_feature_distillation(loss: Any) -> bool:
    """Whether a loss is `keras.distillation.FeatureDistillation`."""
    peer = _peer(loss)
    return peer is not None and isinstance(loss, peer.FeatureDistillation)


def feature_distillation(loss: Any, teacher: Any, student: Any) -> tuple[Any, Any, Any]:
    """Returns the loss and the layers, teacher's and student's, that `FeatureDistillation` names.

    Raises:
        ValueError: If a Term names layers, too, or there are losses for several outputs.
    """
    if teacher is not None or student is not None:
        raise refusal(
            "The layers of a Term must be named once, by the Term or FeatureDistillation",
            received=f"teacher={teacher!r} and student={student!r}",
            mend="Name the layers in FeatureDistillation alone",
        )
    inner = loss.loss
    if not callable(inner):
        raise refusal(
            "FeatureDistillation must have one loss, its function or its name",
            received=repr(inner),
            mend="Write a Term for each output, Term(FeatureDistillation(loss), output=name)",
        )
    inner = stock.as_object(inner)
    if not isinstance(inner, keras.losses.Loss):
        inner = FunctionLoss(inner)
    return inner, loss.teacher_layer_name, loss.student_layer_name


@keras.saving.register_keras_serializable(package="keras_kd")
class FunctionLoss(keras.losses.Loss):
    """A function `(teacher, student)` as a loss, under the function's name if it has one.

    Args:
        function: Returns a value per example or per position. To be saved, it must be registered
            with `keras.saving.register_keras_serializable`.
        name: Name of the loss.
        **kwargs: As in `keras.losses.Loss`.
    """

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None, **kwargs: Any):
        own = getattr(function, "__name__", "")  # "<lambda>" cannot name a layer
        name = name or (own if own.isidentifier() else "function_loss")
        super().__init__(name=name, **kwargs)
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns what the function returns."""
        return self.function(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        function = keras.saving.serialize_keras_object(self.function)
        return {**super().get_config(), "function": function}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FunctionLoss":
        """Rebuilds a loss from `get_config()`."""
        function = keras.saving.deserialize_keras_object(config["function"])
        return cls(**{**config, "function": function})


def _peer(loss: Any) -> Any:
    """Returns `keras.distillation` where a loss comes from there, else `None`."""
    peer = getattr(keras, "distillation", None)
    return peer if peer is not None and isinstance(loss, peer.DistillationLoss) else None


def _is_kl_divergence(loss: Any) -> bool:
    return stock.name_of(loss) == "kl_divergence"
