"""One step: the teacher's answers are added to the batch, and Keras does the rest."""

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd.distiller import auto_temperature, compatibility, faults, jax_step, multi_worker
from keras_kd.distiller.as_student import AsStudent
from keras_kd.distiller.logs import LossColumns
from keras_kd.distiller.objective import Objective
from keras_kd.distiller.plain_temperature import PlainTemperature
from keras_kd.distiller.settings import ALPHA, live_scalar
from keras_kd.distiller.terms.term import Term
from keras_kd.networks.heads import LogitsModel
from keras_kd.teachers import batch
from keras_kd.teachers.teacher import Teacher

__all__ = ["Steps"]

_ENDED = "ended"  # stands in a file of which the terms have ended


class Steps(AsStudent):
    """A model whose steps ask the teacher about each batch and minimise an `Objective`.

    With `compile(evaluate_terms=True)` the teacher is asked in the evaluation, too.

    Args:
        logits: The student, with the logits and signals that are compared.
        terms: The terms.
        columns: Names of what the training logs show of them.
        plain: Whether the weight of the hard loss is `alpha`, so that the terms weigh `1 - alpha`.
        **kwargs: As in `keras.Model`.

    Attributes:
        plain_temperature: The temperatures of the plain form, and what is to be found of them.
    """

    def __init__(
        self,
        logits: LogitsModel,
        terms: list[Term],
        columns: Sequence[str],
        *,
        plain: bool,
        **kwargs: Any,
    ):
        super().__init__(logits, **kwargs)
        self._terms = terms
        weight = ("alpha", ALPHA) if plain else ("hard_weight", 1.0)
        self._hard_weight = live_scalar(self, *weight)
        self._watch = faults.Watch(faults.faults_of(terms))
        self._columns = LossColumns(["hard_loss", *columns])
        # A plain object, so that Keras neither tracks nor saves what only it holds: the teacher.
        self._objective = Objective(
            logits.heads, terms, self._hard_weight, plain, self._watch, self._columns
        )
        self._trains_unlabelled = self._xla_asked_for = False
        self.plain_temperature = PlainTemperature()

    def train_step(self, *args: Any) -> Any:
        """Adds the teacher's answers to the batch and lets Keras train on it."""
        *state, data = args
        data, weights = jax_step.unpack(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self.distils:
            self.plain_temperature.check_found()
        if not self.distils:
            x = batch.with_answers(batch.inputs(x), {})
        elif not batch.carries_answers(x):
            answers = self._ask(batch.teacher_input(x), weights, *state)
            x = batch.with_answers(batch.inputs(x), answers)
        result = super().train_step(*state, (x, y, sample_weight))
        return multi_worker.per_worker(self, result)

    def test_step(self, *args: Any) -> Any:
        """Lets Keras evaluate the batch, with the teacher's answers where they are compared."""
        *state, data = args
        data, weights = jax_step.unpack(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        answers = {}
        if self._asks_to_evaluate:
            carried = batch.carries_answers(x)
            shown = batch.teacher_input(x)
            answers = batch.answers(x) if carried else self._ask(shown, weights, *state)
        x = batch.to_evaluate(batch.inputs(x), answers)
        result = super().test_step(*state, (x, y, sample_weight))
        return multi_worker.per_worker(self, result)

    def _ask(self, x: Any, weights: list[Any], state: Any = ((), ())) -> dict[str, Any]:
        """Returns the teacher's logits; on JAX by the weights that the step was given."""
        values = zip(self._teachers_own_variables(), weights)
        shared = zip(
            self.trainable_variables + self.non_trainable_variables, [*state[0], *state[1]]
        )
        return self._objective.teacher(x, self._logits.names, [*values, *shared])

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the student's outputs; where terms are computed, its logits too."""
        x = self._student_inputs.fed(batch.inputs(inputs))
        evaluating = batch.is_to_evaluate(inputs)
        carries = training and batch.carries_answers(inputs)
        if carries or (evaluating and batch.answers(inputs)):
            return batch.with_signals(*self._logits(x, training=training))
        output = self.student(x, training=training)
        return batch.with_signals(output, {}) if evaluating else output

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns hard loss + terms + regularizers; outside of training, without the terms.

        Raises:
            ValueError: If `y_pred` lacks what the terms need in training, as in a loop of your own.
        """
        return self._objective.loss(self, x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """Updates the metrics with the student's output, where there are labels."""
        self._objective.update_metrics(self, y, y_pred, sample_weight)
        training = batch.carries_signals(y_pred) and not batch.is_to_evaluate(x)
        return self._logs_of_step(training=training, labelled=y is not None)

    @property
    def evaluates_terms(self) -> bool:
        """Whether the teacher is asked in the evaluation, too."""
        return self._objective.evaluates_terms

    @property
    def _asks_to_evaluate(self) -> bool:
        return self.evaluates_terms or bool(self.observers)

    @property
    def distils(self) -> bool:
        """Whether the terms are minimised; where not, no teacher is asked, and labels train alone.

        It is saved with the weights, and `compile` sets it. Setting it drops the training step.
        """
        return self._objective.distils

    @distils.setter
    def distils(self, value: bool) -> None:
        if bool(value) != self._objective.distils:
            self._objective.distil(bool(value))
            if self.train_function is not None:  # `fit` does not make it again
                self.make_train_function(force=True)

    def save_own_variables(self, store: Any) -> None:
        """Saves the model's own variables, and whether the terms have ended."""
        super().save_own_variables(store)
        if not self.distils:
            store[_ENDED] = np.ones(())

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` has saved."""
        names = store.keys()
        saved = {name: store[name] for name in names}
        self.distils = saved.pop(_ENDED, None) is None
        super().load_own_variables(saved)

    @property
    def observers(self) -> tuple[keras.metrics.Metric, ...]:
        """Metrics that compare the student with the teacher in each evaluation.

        They have `reading`, a `Term`, and are told `update_state(answer, signal, ids)` of its
        output: the teacher's logits as the term reads them, the student's, and labels that are
        class ids, or `None`. They are neither tracked nor saved. Other ones drop the evaluation
        step; when `fit` or `evaluate` ends, there are none.
        """
        return self._objective.observers

    @observers.setter
    def observers(self, observers: Sequence[keras.metrics.Metric]) -> None:
        if tuple(observers) != self._objective.observers:
            self._objective.observers, self.test_function = tuple(observers), None

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What Keras resets and logs; in an evaluation, the observers, too."""
        return [*super().metrics, *(self.observers if self._columns.is_evaluating else ())]

    @property
    def metrics_names(self) -> list[str]:
        """The names of Keras' own metrics."""
        own = (self._watch.name, self._columns.name)
        return [name for name in super().metrics_names if name not in own]

    def compile(self, *args: Any, jit_compile: bool | str = "auto", **kwargs: Any) -> None:
        """Configures the training. A teacher on the host keeps `"auto"` from XLA.

        Args:
            *args: As in `keras.Model.compile`.
            jit_compile: As in `keras.Model.compile`.
            **kwargs: As in `keras.Model.compile`.

        Raises:
            ValueError: If the teacher is on the host and `jit_compile` is true.
        """
        self._xla_asked_for = jit_compile is True
        self._keep_from_xla()
        super().compile(*args, jit_compile=jit_compile, **kwargs)

    def _keep_from_xla(self) -> None:
        if not self._objective.teacher.on_host:
            return
        if self._xla_asked_for:
            said = compatibility.not_compiled("jit_compile=False or 'auto'", "jit_compile=True")
            raise ValueError(said)
        if self.compiled and self.jit_compile:
            self.jit_compile = False

    def make_train_function(self, force: bool = False) -> None:
        """Makes Keras' training function, which reports the first step's faults."""
        self._keep_from_xla()
        last, _ = self.train_function, super().make_train_function(force)
        if self.train_function is not last:
            step = self.train_function
            if keras.backend.backend() == "jax":
                step = jax_step.fed(step, self, self._teachers_own_variables())
            self.train_function = self._watch.checking_the_first_step(
                step, lambda: self.metrics_variables
            )

    def make_test_function(self, force: bool = False) -> None:
        """Makes Keras' evaluating function."""
        self._keep_from_xla()
        last, _ = self.test_function, super().make_test_function(force)
        fresh = self.test_function is not last
        if fresh and self._asks_to_evaluate and keras.backend.backend() == "jax":
            own = self._teachers_own_variables()
            self.test_function = jax_step.fed(self.test_function, self, own)

    def _teachers_own_variables(self) -> list[keras.Variable]:
        return jax_step.not_shared(self._objective.teacher.variables, self.variables)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the logs, without what was not computed."""
        evaluating = self._columns.is_evaluating
        with multi_worker.summed(self):
            return self._logs(labelled=evaluating or not self._trains_unlabelled)

    def _logs_of_step(self, *, training: bool, labelled: bool) -> dict[str, Any]:
        if training:
            self._trains_unlabelled = not labelled
        with contextlib.nullcontext() if training else self._columns.evaluation():
            return self._logs(labelled, in_step=True)

    def _logs(self, labelled: bool, in_step: bool = False) -> dict[str, Any]:
        with contextlib.nullcontext() if labelled else _keras.without_metrics(self):
            logs = super().get_metrics_result()
        if self._columns.is_evaluating:
            # Keras' own counts a batch without labels as one with a loss of 0.
            kept = logs.pop("loss")
            if self.loss is not None:
                loss = self._columns.mean("hard_loss").result()
                # Where Keras has made numbers of its logs already, as old versions do here.
                logs = {"loss": float(loss) if isinstance(kept, float) else loss, **logs}
        elif self.distils:
            logs |= self.plain_temperature.columns(self._terms, in_step=in_step)
        return logs

    def _ask_from_now_on(self, teacher: Teacher) -> None:
        """Takes another teacher, unless the temperature does not suit its answers."""
        last, self._objective.teacher = self._objective.teacher, teacher
        try:
            self._find_stored_temperature(again=True)
            if self.compiled:
                teacher.check_temperatures(self._terms, self._logits.names)
        except ValueError:
            self._objective.teacher = last
            raise
        self._watch.respondents = teacher.respondents

    def _find_stored_temperature(self, again: bool = False) -> None:
        """Finds what `temperature="auto"` asks for where the answers are stored."""
        found = self.plain_temperature
        if again:
            found.find_again(self._terms)
        found.find_stored(self._objective.teacher, self._terms, self._logits.names)

    def _find_temperature(self, given: dict[str, Any], asks: bool = True) -> dict[str, Any]:
        """Finds it from the first batches of what a method that asks the teacher was given."""
        if asks and self.plain_temperature.pending and self.distils:
            batches = auto_temperature.first_batches(given)
            teacher, names = self._objective.teacher, self._logits.names
            agreed = partial(multi_worker.mean, self)
            self.plain_temperature.find_online(teacher, self._terms, names, batches, agreed)
        return given
