"""Term: which pair of signals, which loss, what weight."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd import _keras, _torch
from keras_kd._errors import check_number, refusal
from keras_kd.distiller import weights
from keras_kd.distiller.settings import live_scalar
from keras_kd.distiller.terms import accepted_losses, connection, keras_io
from keras_kd.losses.base import DistillationLoss, full_precision, loss_dtype
from keras_kd.losses.sizes import same_sizes
from keras_kd.networks.projectors import Projector
from keras_kd.networks.taps import check_path, signal_name

__all__ = ["Term"]


@keras.saving.register_keras_serializable(package="keras_kd")
class Term(keras.layers.Layer):
    """One distillation term: a loss between a signal of the teacher and one of the student.

    A signal is a model's output, the logits of it, or what a layer gives. A Term is a layer: its
    weight and its temperature are scalar variables, which act on the next step after
    `.assign(value)` and are saved with the Distiller; so is its projector, which trains with the
    student but is not part of it. On JAX, reach them through the Distiller
    (`distiller.terms[0].weight.assign`): a variable kept from before the epoch is stale within it.

    Args:
        loss: A loss of `keras_kd.losses`, or any `keras.losses.Loss` that takes unbounded values,
            such as `keras.losses.MeanSquaredError()`; one that takes probabilities, only between
            layers that give such; or a loss of `keras.distillation`. Its temperature, if it has
            one, is the Term's first temperature; the object itself is not changed.
        weight: Factor in front of the loss, at least 0. Default: the loss's `default_weight`, 1.0
            for Keras' own losses.
        teacher: Path of the teacher's layer: its name, after those of the nested models around
            it, `"backbone/block3"`, or a unique end, `"block3"`; with the number of the call where
            there are several, `"shared:1"`; of an attention layer also `"att:query"`, `"att:key"`,
            `"att:value"`. Default: the output's logits.
        student: Path of the student's layer. Default: the output's logits.
        projector: `"auto"` for the smallest one that fits, none where the loss can compare the
            signals as they are; a layer from the student's signal to the teacher's shape; `None`
            where the loss must take them as they are.
        name: Name of the Term and of its column in the logs. Default: the loss's name, after the
            output's where there are several; numbered from the second on.
        output: Name of the student's output, needed only where it has several and a side has no
            path. The teacher's is the one of the same name, or its only one.
        temperature: A scalar variable to share with another Term, instead of one of its own.

    Attributes:
        weight: Scalar variable.
        temperature: Scalar variable, or `None` for a loss without temperature.
        projector: The layer, once a Distiller has the Term; `None` where none is needed.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `loss` on outputs compares probabilities, or `weight` is negative.

    Example:
    >>> term = keras_kd.Term(keras_kd.losses.SoftTargets(temperature=2.0), weight=0.5)
    >>> hint = keras_kd.Term(keras_kd.losses.Hint(), teacher="conv4", student="conv2")
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        weight: float | None = None,
        teacher: str | None = None,
        student: str | None = None,
        projector: keras.layers.Layer | str | None = None,
        name: str | None = None,
        *,
        output: str | None = None,
        temperature: keras.Variable | None = None,
    ):
        of_keras = keras_io.is_feature_distillation(loss)
        loss, teacher, student = accepted_losses.check_loss(loss, teacher, student)
        name_given, name = name is not None, name or accepted_losses.default_name(output, loss)
        super().__init__(name=name, dtype="float32", autocast=False)
        self.output_name = output
        self.teacher = None if teacher is None else check_path(teacher, "teacher")
        self.student = None if student is None else check_path(student, "student")
        self.is_named, self.is_of_keras = name_given, of_keras
        weight = getattr(loss, "default_weight", 1.0) if weight is None else weight
        self.weight = live_scalar(self, "weight", check_number("weight", weight, "at least 0"))
        self.projector = connection.check_projector(projector)
        self._student_shape: tuple[int | None, ...] | None = None
        self.temperature = accepted_losses.check_shared(temperature, loss)
        self.shares_temperature = temperature is not None
        if temperature is None and hasattr(loss, "temperature"):
            self.temperature = live_scalar(self, "temperature", loss.temperature)
        self._set_loss(loss)
        self.built = self.supports_masking = True

    def _set_loss(self, loss: keras.losses.Loss) -> None:
        self.loss = loss
        self.default_temperature = getattr(loss, "temperature", None)
        if self.default_temperature is not None:
            self.loss = _keras.shallow_copy(loss)  # the caller's keeps its own temperature
            self.loss.temperature = self.temperature
        self._reduction = _Reduction(reduction=loss.reduction)

    def compare_by(self, loss: keras.losses.Loss) -> None:
        """Takes another loss and its name; the variables stay."""
        self._set_loss(loss)
        self.name = accepted_losses.default_name(self.output_name, loss)

    def keep_own_temperature(self) -> None:
        """Takes a temperature of its own in place of one that it shares."""
        if self.shares_temperature:
            self.shares_temperature = False
            self.temperature = live_scalar(self, "temperature", self.default_temperature)
            self.loss.temperature = self.temperature

    @property
    def on_outputs(self) -> bool:
        """Whether both signals are the models' outputs."""
        return self.teacher is None and self.student is None

    @property
    def needs_output(self) -> bool:
        """Whether a signal is a model's output."""
        return self.teacher is None or self.student is None

    def output_of(self, names: Sequence[str]) -> str | None:
        """Returns the name of the output that the Term is about, `None` if it is about none."""
        return self.output_name or (names[0] if self.needs_output else None)

    def signals_of(self, names: Sequence[str]) -> tuple[str, str]:
        """Returns the names of teacher's and student's signal, given the student's outputs."""
        output = self.output_of(names)
        return tuple(
            output if path is None else signal_name(path) for path in (self.teacher, self.student)
        )

    def tapped(self) -> dict[str, str]:
        """Returns the names of the signals from the inside of the networks, by role."""
        paths = {"teacher": self.teacher, "student": self.student}
        return {role: signal_name(path) for role, path in paths.items() if path is not None}

    def connect(self, teacher: Any, student: Any) -> None:
        """Builds the projector for signals of these shapes, `None` where a shape is not known.

        Raises:
            ValueError: If the loss cannot compare the signals, after the projector if any.
        """
        if teacher is not None and student is not None:
            shapes, again = (tuple(teacher), tuple(student)), self._student_shape is not None
            self.projector = connection.connected(
                self.name, self.loss, self.projector, *shapes, again=again
            )
            self._student_shape = tuple(student)
        elif self.projector == "auto":
            raise refusal(
                f"projector='auto' of term {self.name!r} must know the signals' shapes",
                expected="models built from keras.Input",
                received="a subclassed model",
                mend="Pass a layer as the projector",
            )

    def call(
        self,
        answer: Any,
        signal: Any,
        sample_weight: Any = None,
        signal_mask: Any = None,
        labels: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Returns the reduced loss, without the Term's weight.

        Args:
            answer: The teacher's signal, `(batch, ...)`.
            signal: The student's signal; in front of the projector, if there is one.
            sample_weight: Weights, `(batch,)`, or of the loss's own rank; `None` for equal ones.
            signal_mask: Boolean, `(batch, ...)`: where it is false, nothing counts. Default: the
                mask that Keras' layers have passed on to `signal`.
            labels: Class ids, `(batch, ...)`, -1 for none, for the losses that need them.
            training: Whether the projector trains.

        Returns:
            A float32 scalar.
        """
        signal = full_precision(signal)
        if self.projector is not None:
            signal, signal_mask = self._projected(signal, signal_mask, training)
            if isinstance(self.projector, Projector):
                signal = self.projector.resized(signal, tuple(answer.shape))
        self._check_shapes(answer, signal)
        answer = ops.cast(answer, keras.tree.flatten(signal)[0].dtype)
        if not isinstance(self.loss, DistillationLoss):
            answer = same_sizes(answer, signal)
        known = {"labels": labels, "mask": signal_mask}
        values = self.loss.call(self._as_needed(answer, known), signal)
        if len(values.shape) == 0:
            raise refusal(
                f"The loss of term {self.name!r} must return one value per example",
                received="a scalar",
                mend="Leave the mean over the batch to Keras' reduction",
            )
        if sample_weight is not None:
            sample_weight = weights.of_values(values, sample_weight, "sample_weight", self.name)
        if signal_mask is not None and not self._is_used_up(signal_mask, values):
            signal_mask = weights.of_values(values, signal_mask, "The student's mask", self.name)
            signal_mask = ops.broadcast_to(signal_mask, ops.shape(values))
            values = _keras.masked(values, signal_mask)
            sample_weight = _torch.weights(sample_weight, signal_mask)
        return self._reduction(values, values, sample_weight)

    def _projected(self, signal: Any, mask: Any, training: bool | None) -> tuple[Any, Any]:
        """Returns what the projector makes of the signal, and the mask of what is left of it."""
        if mask is not None:
            signal = _keras.masked(signal, mask)  # for projectors that pool
        projected = self.projector(signal, training=training)
        rank = len(keras.tree.flatten(projected)[0].shape)
        return projected, None if mask is None or len(mask.shape) >= rank else mask

    def _is_used_up(self, mask: Any, values: Any) -> bool:
        """Whether the loss has seen to a mask of positions, and gives one value per example."""
        needs = getattr(self.loss, "needs", ())
        return "mask" in needs and len(mask.shape) > len(values.shape)

    def _as_needed(self, answer: Any, known: dict[str, Any]) -> Any:
        """Returns the answer, together with what the loss says that it needs."""
        needs = getattr(self.loss, "needs", ())
        return {"teacher": answer, **{name: known[name] for name in needs}} if needs else answer

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns none: a loss is a scalar."""

    def _check_shapes(self, answer: Any, signal: Any) -> None:
        teacher = tuple(answer.shape)
        student = keras.tree.map_structure(lambda part: tuple(part.shape), signal)
        if connection.fits(self.loss, teacher, student):
            return
        if not self.on_outputs or self.projector is not None:
            raise connection.misfit(self.name, self.loss, teacher, student)
        raise refusal(
            f"Teacher and student must give logits of one shape to term {self.name!r}",
            expected=f"the student's shape {student}",
            received=f"the teacher's shape {teacher}",
            mend="Use a teacher with the student's classes",
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), keras.Variable) and not isinstance(
            value, keras.Variable
        ):
            raise AttributeError(f"A Term's {name} is a variable. Use term.{name}.assign(value).")
        super().__setattr__(name, value)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the Term, and the shape it was connected to."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "weight": float(self.weight),
            "teacher": self.teacher,
            "student": self.student,
            "projector": keras.saving.serialize_keras_object(self.projector),
            "output": self.output_name,
            "name": self.name,
            "student_shape": self._student_shape and list(self._student_shape),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Term":
        """Rebuilds a Term from `get_config()`."""
        rebuilt = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("loss", "projector")
        }
        config = {**config, **rebuilt}
        shape = config.pop("student_shape", None)
        term = cls(**config)
        term._student_shape = None if shape is None else tuple(shape)
        if shape is not None and term.projector is not None:
            # Not every layer knows from `build` alone which weights it will have.
            connection.built(term.name, term.projector, term._student_shape)
        return term


class _Reduction(keras.losses.Loss):
    """Keras' own weighting, reduction and replica scaling, for values that are losses already."""

    def __init__(self, reduction: str):
        super().__init__(reduction=reduction, dtype=loss_dtype())

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred
