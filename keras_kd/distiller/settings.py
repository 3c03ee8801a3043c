"""Scalars that act on the next execution once they are assigned, without a new trace."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd.distiller.logs import LossColumns

if TYPE_CHECKING:
    from keras_kd.distiller.terms.term import Term


def live_scalar(layer: keras.layers.Layer, name: str, value: float) -> keras.Variable:
    """Adds a float32 scalar that acts on the next step after `assign`, and is saved."""
    return layer.add_weight(
        shape=(),
        initializer=keras.initializers.Constant(value),
        dtype="float32",
        trainable=False,
        name=name,
    )


class LiveSettings(keras.Model):
    """The part of a Distiller that may be changed while it trains.

    On JAX, what is read here has been brought up to date, so that an assignment acts from anywhere.
    The Distiller sets what is declared here.
    """

    _plain: bool
    _hard_weight: keras.Variable
    _terms: list["Term"]
    _columns: LossColumns
    _distils = True
    _observers: tuple[keras.metrics.Metric, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the Distiller chose its terms itself, so that `alpha` blends them."""
        return self._plain

    @property
    def alpha(self) -> keras.Variable:
        """Plain form: the weight of the hard loss."""
        if not self._plain:
            raise AttributeError("A Distiller with terms has no alpha. Use distiller.hard_weight.")
        return self.hard_weight

    @property
    def temperature(self) -> keras.Variable:
        """Plain form: the temperature of the soft targets."""
        if not self._plain:
            raise AttributeError("A Distiller with terms has no temperature. Use that of a term.")
        return self.terms[0].temperature

    @property
    def hard_weight(self) -> keras.Variable:
        """The weight of the hard loss."""
        _keras.up_to_date(self)
        return self._hard_weight

    @property
    def distils(self) -> bool:
        """Whether the terms are minimised; where not, no teacher is asked, and labels train alone.

        Setting it drops the compiled training step.
        """
        return self._distils

    @distils.setter
    def distils(self, value: bool) -> None:
        if bool(value) != self._distils:
            self._distils, self.train_function = bool(value), None
            hard = [] if self.loss is None else ["hard_loss"]
            self._columns.shown = hard + [term.name for term in self._terms if value]

    @property
    def observers(self) -> tuple[keras.metrics.Metric, ...]:
        """Metrics that compare the student with the teacher in each evaluation.

        They are told `update_state(answers, signals, ids)`: the logits of teacher and student, and
        the labels that are class ids, by output name. They are neither tracked nor saved. Setting
        them drops the compiled evaluation step.
        """
        return self._observers

    @observers.setter
    def observers(self, observers: Sequence[keras.metrics.Metric]) -> None:
        _keras.set_untracked(self, "_observers", tuple(observers))
        self.test_function = None

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What Keras resets and logs; in an evaluation, the observers, too."""
        observers = self._observers if self._columns.is_evaluating else ()
        return [*super().metrics, *observers]

    @property
    def terms(self) -> tuple["Term", ...]:
        """The terms, in order."""
        _keras.up_to_date(self)
        return tuple(self._terms)

    def _settings_out_of_range(self) -> Any:
        """Returns whether something else has been assigned than `compile` would take."""
        weights = ops.stack([self._hard_weight.value, *(term.weight.value for term in self._terms)])
        fine = ops.all(ops.isfinite(weights) & (weights >= 0))
        if self._plain:
            fine = fine & (self._hard_weight.value <= 1)
        for term in self._terms:
            if term.temperature is not None:
                value = term.temperature.value
                fine = fine & ops.isfinite(value) & (value > 0)
        return ~fine
