"""How far the student gives its teacher's answers, and how far its confidence can be believed."""

import contextlib
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd._errors import check_integer, refusal
from keras_kd.callbacks.monitoring import check_distils
from keras_kd.distiller import hard_loss
from keras_kd.distiller.distiller import Distiller
from keras_kd.distiller.terms.term import Term
from keras_kd.losses import DistillationLoss, MultiLabelSoftTargets, SoftTargets, stock
from keras_kd.losses.base import categorical_kl, full_precision

__all__ = ["TeacherAgreement"]


class TeacherAgreement(keras.callbacks.Callback):
    """Compares student and teacher on the validation data, within the validation that `fit` does.

    The logs get, with the output's name before them where there are several:

    - `val_teacher_agreement`: the share of examples where both give the same class;
    - `val_teacher_kl`: the mean of `KL(teacher ‖ student)` at temperature 1, in nats;
    - `val_calibration_error`: the student's expected calibration error against the labels,
      `Σ |accuracy - confidence| · share` over bins of equal width of its confidence. Not for
      outputs whose classes do not exclude each other.

    A figure is NaN where nothing counts, as without labels the last one. Outputs that the teacher
    does not teach have none. Of answers stored for certain temperatures only (top classes, several
    teachers) the nearest to 1 serves; where 1 is not among them, there is no `val_teacher_kl`. To
    it, all but the top classes are equally likely.

    The teacher is asked about each validation batch, or the batch carries its stored answers: pass
    `validation_data=soft.dataset(x_val, y_val, batch_size=...)` to a Distiller with a `SoftLabels`
    of the validation data. Then it costs next to nothing. Positions that the student's Keras mask
    leaves out do not count, nor do examples without a label in the calibration error; sample
    weights do not matter. In `distiller.evaluate(..., callbacks=[...])` the names have no `val_`.

    Args:
        bins: Number of bins of the calibration error.

    Raises:
        TypeError: If `bins` is not an integer, or at the start of `fit`, if the model is not a
            Distiller.
        ValueError: If `bins` is below 1; and at the start of `fit`, if there are no validation
            data, or no output that is taught sorts into classes.

    Example:
    ```python
    distiller.fit(
        x,
        y,
        validation_data=(x_val, y_val),
        callbacks=[
            keras_kd.callbacks.TeacherAgreement(),
            keras_kd.callbacks.StudentCheckpoint("s.keras", monitor="val_teacher_agreement"),
        ],
    )
    ```

    Reference:
        - [Guo et al., On Calibration of Modern Neural Networks, 2017](
            https://arxiv.org/abs/1706.04599)
        - [Stanton et al., Does Knowledge Distillation Really Work?, 2021](
            https://arxiv.org/abs/2106.05945)
    """

    asks_teacher = True  # in evaluations; see `keras_kd.distiller.fitting`

    def __init__(self, bins: int = 15):
        super().__init__()
        self.bins = check_integer("bins", bins, 1, example=15)

    def set_model(self, model: Any) -> None:
        """Has the model compare in its evaluations.

        Raises:
            TypeError: If it is not a Distiller.
            ValueError: If no output that is taught sorts into classes.
        """
        super().set_model(model)
        check_distils(
            "TeacherAgreement", model, "Use keras_kd.report.compare for models that are trained"
        )
        kinds = _kinds(model)
        if not kinds:
            raise refusal(
                "TeacherAgreement must have an output that sorts into classes and is taught",
                expected="a softmax, a sigmoid, or logits under a loss between classes",
                received=f"{model.student_heads}",
                mend="Leave it out, and compile(evaluate_terms=True) for the terms themselves",
            )
        strategy = getattr(model, "distribute_strategy", None)
        with strategy.scope() if strategy else contextlib.nullcontext():
            several = len(model.student_heads) > 1
            model.observers = [
                _Observer(model, name, kind == "sigmoid", self.bins, f"{name}_" if several else "")
                for name, kind in kinds.items()
            ]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Looks whether there are validation data.

        Raises:
            ValueError: If there are none.
        """
        facts = self.model.fit_facts
        if facts is not None and not facts.validates:
            raise refusal(
                "TeacherAgreement must have validation data",
                received="none",
                mend="Pass validation_data to fit",
            )


def _kinds(model: Distiller) -> dict[str, str]:
    """Returns whether classes exclude each other ("softmax") or not ("sigmoid"), by output.

    Of those that are taught.
    """
    heads = model.student_heads
    names = list(heads)
    kinds = {name: kind for name, kind in heads.items() if kind in ("softmax", "sigmoid")}
    targets = {
        name: {"class": "softmax", "labels": "sigmoid"}.get(stock.target_of(loss))
        for name, loss in hard_loss.by_output(model.loss, names).items()
    }
    for term in model.terms:
        if term.on_outputs and isinstance(term.loss, DistillationLoss):
            several = isinstance(term.loss, MultiLabelSoftTargets)
            targets.setdefault(term.output_of(names), None)
            targets[term.output_of(names)] = "sigmoid" if several else "softmax"
    taught, found = model.asked_teacher.taught_by(names), targets | kinds
    return {name: kind for name, kind in found.items() if kind is not None and name in taught}


class _Observer(keras.metrics.Metric):
    """Means of one output over an evaluation, and what the calibration error is made of.

    Args:
        model: The Distiller.
        output: The output's name.
        binary: Whether each unit is a class of its own, yes or no.
        bins: Number of bins.
        prefix: What stands before the names in the logs.

    Attributes:
        reading: The Term that reads the teacher's answers, at temperature 1.
    """

    def __init__(self, model: Distiller, output: str, binary: bool, bins: int, prefix: str):
        super().__init__(name=f"{prefix}teacher_agreement", dtype="float32")
        self._binary, self._bins, self._prefix = binary, bins, prefix
        soft_targets = MultiLabelSoftTargets if binary else SoftTargets
        self.reading = Term(soft_targets(temperature=1.0), output=output)
        unknown = model.asked_teacher.out_of_range([self.reading], list(model.student_heads))
        self._knows_kl = not bool(ops.convert_to_numpy(unknown))
        # Agreements, divergence, and what they are means over.
        self._sums = self._zeros("sums", (3,))
        # Of each bin: examples, right answers, confidence.
        self._calibration = self._zeros("calibration", (3, bins))

    def _zeros(self, name: str, shape: tuple[int, ...]) -> keras.Variable:
        return self.add_variable(shape=shape, initializer="zeros", dtype="float32", name=name)

    def update_state(self, answer: Any, signal: Any, labels: Any) -> None:
        """Adds a batch."""
        mask = _keras.keras_mask(signal)
        teacher, student = full_precision(answer), full_precision(signal)
        if self._binary:
            teacher, student = (ops.stack([ops.zeros_like(z), z], -1) for z in (teacher, student))
        log_p, log_q = (ops.log_softmax(z, axis=-1) for z in (teacher, student))
        same = ops.argmax(log_p, axis=-1) == ops.argmax(log_q, axis=-1)
        values = ops.stack(
            [ops.cast(same, "float32"), ops.cast(categorical_kl(log_p, log_q), "float32")]
        )
        counted = ops.ones_like(values[0])
        if mask is not None:
            mask = ops.cast(mask, "float32")
            while len(mask.shape) < len(counted.shape):
                mask = ops.expand_dims(mask, -1)
            counted = counted * mask
        sums = [ops.sum(values[0] * counted), ops.sum(values[1] * counted), ops.sum(counted)]
        self._sums.assign_add(ops.stack(sums))
        if labels is not None and not self._binary:
            self._calibrate(log_q, labels, counted)

    def _calibrate(self, log_q: Any, labels: Any, counted: Any) -> None:
        labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
        counted = ops.reshape(counted, (-1,)) * ops.cast(labels >= 0, "float32")
        confidence = ops.reshape(ops.exp(ops.max(log_q, axis=-1)), (-1,))
        right = ops.reshape(ops.cast(ops.argmax(log_q, axis=-1), "int32"), (-1,)) == labels
        # Bins are open below: (0, 1/n], ..., ((n-1)/n, 1].
        places = ops.cast(ops.ceil(confidence * self._bins), "int32") - 1
        members = ops.one_hot(ops.clip(places, 0, self._bins - 1), self._bins, dtype="float32")
        rows = ops.stack(
            [
                counted,
                counted * ops.cast(right, "float32"),
                counted * ops.cast(confidence, "float32"),
            ]
        )
        self._calibration.assign_add(ops.matmul(rows, members))

    def result(self) -> dict[str, Any]:
        """Returns what there is to log."""
        sums, (examples, right, confidence) = self._sums + 0.0, ops.unstack(self._calibration + 0.0)
        found = {"teacher_agreement": _mean(sums[0], sums[2])}
        if self._knows_kl:
            found["teacher_kl"] = _mean(sums[1], sums[2])
        if not self._binary:
            error = ops.sum(ops.abs(right - confidence))
            found["calibration_error"] = _mean(error, ops.sum(examples))
        return {f"{self._prefix}{name}": value for name, value in found.items()}


def _mean(total: Any, count: Any) -> Any:
    """Returns a mean over whole numbers of examples, NaN over none."""
    return ops.where(count > 0, total / ops.maximum(count, 1.0), float("nan"))
