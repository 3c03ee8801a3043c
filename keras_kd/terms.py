"""Term: which pair of signals, which loss, what weight."""

from typing import Any

import keras
from keras import ops

from keras_kd import _keras, batches, peers, stock_losses
from keras_kd._errors import check_number, message
from keras_kd.live import live_scalar
from keras_kd.losses.base import full_precision, loss_dtype, same_shape


@keras.saving.register_keras_serializable(package="keras_kd")
class Term(keras.layers.Layer):
    """One distillation term: a loss between the teacher's and the student's logits of one output.

    A Term is a layer: its weight and its temperature are scalar variables. They act on the next
    step after `.assign(value)`, without a new trace, and are saved with the Distiller. On JAX,
    reach them through the Distiller within an epoch (`distiller.terms[0].weight.assign`): a
    variable that was kept from before is stale until the epoch ends.

    Args:
        loss: A loss of `keras_kd.losses`, or any `keras.losses.Loss` that takes unbounded values,
            such as `keras.losses.MeanSquaredError()`. Its temperature, if it has one, is the
            Term's first temperature; the object itself is not changed.
        weight: Factor in front of the loss, at least 0. Default: the loss's `default_weight`, 1.0
            for Keras' own losses.
        output: Name of the output, needed only where the models have several.
        name: Name of the Term and of its column in the logs. Default: the loss's name, behind the
            output's where there are several.
        temperature: A scalar variable to share with another Term, instead of one of its own.

    Attributes:
        weight: Scalar variable.
        temperature: Scalar variable, or `None` for a loss without temperature.

    Raises:
        TypeError: If `loss` is no loss object, or `weight` no number.
        ValueError: If `loss` compares probabilities with labels, or `weight` is negative.

    Example:
    >>> term = keras_kd.Term(keras_kd.losses.SoftTargets(temperature=2.0), weight=0.5)
    >>> term.weight.assign(0.25)
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        weight: float | None = None,
        *,
        output: str | None = None,
        name: str | None = None,
        temperature: keras.Variable | None = None,
    ):
        loss = _check_loss(loss)
        label = f"{output}_{loss.name}" if output else loss.name
        super().__init__(name=name or label, dtype="float32", autocast=False)
        self.output_name = output
        if weight is None:
            weight = getattr(loss, "default_weight", 1.0)
        self.weight = live_scalar(self, "weight", check_number("weight", weight, "at least 0"))
        self.loss = loss
        self.default_temperature = getattr(loss, "temperature", None)
        self.temperature = _check_shared(temperature, loss)
        if self.default_temperature is not None:
            if temperature is None:
                self.temperature = live_scalar(self, "temperature", self.default_temperature)
            # A copy, so that the caller's loss keeps its own temperature.
            self.loss = _keras.shallow_copy(loss)
            self.loss.temperature = self.temperature
        self._reduction = _Reduction(reduction=loss.reduction)
        self.built = self.supports_masking = True

    def call(
        self,
        answer: Any,
        signal: Any,
        sample_weight: Any = None,
        signal_mask: Any = None,
        labels: Any = None,
    ) -> Any:
        """Returns the reduced loss, without the Term's weight.

        Args:
            answer: The teacher's logits, `(batch, ..., classes)`.
            signal: The student's logits, same shape.
            sample_weight: Weights, `(batch,)`, or of the loss's own rank; `None` for equal ones.
            signal_mask: Boolean, `(batch, ...)`: where it is false, nothing counts. Default: the
                mask that Keras' layers have passed on to `signal`.
            labels: Class ids, `(batch, ...)`, -1 for none, for the losses that need them.

        Returns:
            A float32 scalar.
        """
        self._check_shapes(answer.shape, signal.shape)
        signal = full_precision(signal)
        known = {"labels": labels, "mask": signal_mask}
        values = self.loss.call(self._as_needed(ops.cast(answer, signal.dtype), known), signal)
        rank = len(values.shape)
        if rank == 0:
            raise ValueError(
                message(
                    f"The loss of term {self.name!r} must return one value per example",
                    expected="shape (batch,) or (batch, ...)",
                    received="a scalar",
                    mend="Leave the mean over the batch to Keras' reduction",
                )
            )
        if sample_weight is not None:
            sample_weight = self._at_rank(sample_weight, rank, "sample_weight")
        if signal_mask is not None:
            signal_mask = self._at_rank(signal_mask, rank, "The student's mask")
            signal_mask = ops.broadcast_to(signal_mask, ops.shape(values))
            values = _keras.masked(values, signal_mask)
        return self._reduction(values, values, sample_weight)

    def _as_needed(self, answer: Any, known: dict[str, Any]) -> Any:
        """Returns the answer, together with what the loss says that it needs."""
        needs = getattr(self.loss, "needs", ())
        return {"teacher": answer, **{name: known[name] for name in needs}} if needs else answer

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns none: a loss is a scalar."""

    def _check_shapes(self, answer: tuple, signal: tuple) -> None:
        if not same_shape(answer, signal):
            raise ValueError(
                message(
                    f"Teacher and student must give logits of one shape to term {self.name!r}",
                    expected=f"the student's shape {tuple(signal)}",
                    received=f"the teacher's shape {tuple(answer)}",
                    mend="Use a teacher with the student's classes",
                )
            )

    def _at_rank(self, weight: Any, rank: int, what: str) -> Any:
        fitting = batches.at_rank(weight, rank)
        if len(fitting.shape) > rank:
            raise ValueError(
                message(
                    f"{what} must fit term {self.name!r}, which gives one value per example",
                    expected=f"at most {rank} axes",
                    received=f"shape {tuple(fitting.shape)}",
                    mend="Pass one weight per example",
                )
            )
        return fitting

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), keras.Variable) and not isinstance(
            value, keras.Variable
        ):
            raise AttributeError(f"A Term's {name} is a variable. Use term.{name}.assign(value).")
        super().__setattr__(name, value)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the Term."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "weight": float(self.weight),
            "output": self.output_name,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Term":
        """Rebuilds a Term from `get_config()`."""
        loss = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**{**config, "loss": loss})


class _Reduction(keras.losses.Loss):
    """Keras' own weighting, reduction and replica scaling, for values that are losses already."""

    def __init__(self, reduction: str):
        super().__init__(reduction=reduction, dtype=loss_dtype())

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


def _check_shared(temperature: Any, loss: keras.losses.Loss) -> keras.Variable | None:
    usable = isinstance(temperature, keras.Variable) and hasattr(loss, "temperature")
    if temperature is not None and not usable:
        raise TypeError(
            message(
                "temperature must be another Term's, for a loss that has a temperature",
                expected="the variable of a Term, e.g. term.temperature",
                received=f"{temperature!r} for {type(loss).__name__}",
                mend="Give a number to the loss instead, e.g. SoftTargets(temperature=2.0)",
            )
        )
    return temperature


def _check_loss(loss: Any) -> keras.losses.Loss:
    loss = peers.converted_loss(loss)
    if not isinstance(loss, keras.losses.Loss):
        raise TypeError(
            message(
                "The loss of a Term must be a loss object",
                expected="a keras_kd loss such as keras_kd.losses.SoftTargets(), or a "
                "keras.losses.Loss",
                received=repr(loss),
                mend="Pass an object, not its name or its function",
            )
        )
    if loss.reduction in (None, "none"):
        raise ValueError(
            message(
                "The loss of a Term must be reduced to a scalar",
                expected="reduction='sum_over_batch_size'",
                received=f"reduction={loss.reduction!r}",
                mend="Leave the reduction out",
            )
        )
    better = stock_losses.better_on_logits(loss)
    if better:
        raise ValueError(
            message(
                "The loss of a Term on outputs must compare logits with logits",
                expected=f"keras_kd.losses.{better}()",
                received=f"keras.losses.{type(loss).__name__}, which compares probabilities",
                mend=f"Replace it by keras_kd.losses.{better}()",
            )
        )
    return loss
