"""The columns that a Distiller adds to the training logs."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_kd import _keras

__all__ = ["LossColumns"]


class LossColumns(_keras.MetricsList):
    """Running means of several losses, of which callbacks know that lower is better.

    Args:
        names: The columns, in order.

    Attributes:
        metrics: The means.
        shown: Names of the columns that were computed, which `result()` gives. Default all.
        evaluated: Names of those that are computed in an evaluation. Default none.
        is_evaluating: Whether one is under way.
    """

    def __init__(self, names: list[str]):
        means = [_keras.to_be_minimized(keras.metrics.Mean(name=name)) for name in names]
        super().__init__(means, name="loss_columns")
        self.shown: Iterable[str] = tuple(names)
        self.evaluated: Iterable[str] = ()
        self.is_evaluating = False

    def update_state(self, losses: dict[str, Any], examples: Any) -> None:
        """Adds means over that many examples, scalars that Keras has scaled for the replicas."""
        for name, loss in losses.items():
            self.mean(name).update_state(_keras.unscaled(loss), sample_weight=examples)

    def mean(self, name: str) -> keras.metrics.Mean:
        """Returns a column's running mean."""
        return next(mean for mean in self.metrics if mean.name == name)

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Shows only the columns of an evaluation for a while."""
        last = self.shown, self.is_evaluating
        self.shown, self.is_evaluating = self.evaluated, True
        try:
            yield
        finally:
            self.shown, self.is_evaluating = last

    def result(self) -> dict[str, Any]:
        """Returns the means by name."""
        return {mean.name: mean.result() for mean in self.metrics if mean.name in self.shown}
