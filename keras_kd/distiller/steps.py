"""One step: the teacher's answers are added to the batch, and Keras does the rest."""

from typing import Any

import keras

from keras_kd.distiller import jax_step
from keras_kd.distiller.objective import Objective
from keras_kd.teachers import batch


class Steps(Objective):
    """A model that asks its teacher about each batch of the training.

    With `compile(evaluate_terms=True)` it does so in the evaluation, too.
    """

    _evaluates_terms = False

    @property
    def evaluates_terms(self) -> bool:
        """Whether the teacher is asked in the evaluation, too."""
        return self._evaluates_terms

    @property
    def _asks_to_evaluate(self) -> bool:
        return self._evaluates_terms or bool(self.observers)

    def make_train_function(self, force: bool = False) -> None:
        """Makes Keras' training function, which reports the first step's faults."""
        last, _ = self.train_function, super().make_train_function(force)
        if self.train_function is not last:
            step = self.train_function
            if keras.backend.backend() == "jax":
                step = jax_step.fed(step, self, self._teachers_own_variables())
            self.train_function = self._watch.checking_the_first_step(
                step, lambda: self.metrics_variables
            )

    def train_step(self, *args: Any) -> Any:
        """Adds the teacher's answers to the batch and lets Keras train on it."""
        *state, data = args
        data, weights = jax_step.unpack(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if not self.distils:
            x = batch.with_answers(batch.inputs(x), {})
        elif not batch.carries_answers(x):
            answers = self._ask(batch.teacher_input(x), weights, *state)
            x = batch.with_answers(batch.inputs(x), answers)
        return super().train_step(*state, (x, y, sample_weight))

    def make_test_function(self, force: bool = False) -> None:
        """Makes Keras' evaluating function."""
        last, _ = self.test_function, super().make_test_function(force)
        fresh = self.test_function is not last
        if fresh and self._asks_to_evaluate and keras.backend.backend() == "jax":
            own = self._teachers_own_variables()
            self.test_function = jax_step.fed(self.test_function, self, own)

    def test_step(self, *args: Any) -> Any:
        """Lets Keras evaluate the batch, with the teacher's answers where they are compared."""
        if not self._asks_to_evaluate:
            return super().test_step(*args)
        *state, data = args
        data, weights = jax_step.unpack(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        asked = batch.carries_answers(x)
        shown = batch.teacher_input(x)
        answers = batch.answers(x) if asked else self._ask(shown, weights, *state)
        x = batch.to_evaluate(batch.inputs(x), answers)
        return super().test_step(*state, (x, y, sample_weight))

    def _ask(self, x: Any, weights: list[Any], state: Any = ((), ())) -> dict[str, Any]:
        """Returns the teacher's logits; on JAX by the weights that the step was given."""
        values = zip(self._teachers_own_variables(), weights)
        shared = zip(
            self.trainable_variables + self.non_trainable_variables, [*state[0], *state[1]]
        )
        return self._teacher(x, self._logits.names, [*values, *shared])

    def _teachers_own_variables(self) -> list[keras.Variable]:
        return jax_step.not_shared(self._teacher.variables, self.variables)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the student's outputs; where terms are computed, its logits too."""
        x = self._student_inputs.fed(batch.inputs(inputs))
        asked = training and batch.carries_answers(inputs)
        if not (asked or batch.is_to_evaluate(inputs)):
            return self.student(x, training=training)
        return batch.with_signals(*self._logits(x, training=training))
