"""The columns that a Distiller adds to the training logs."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_kd import _keras


class LossColumns(_keras.MetricsList):
    """Running means of several losses, of which callbacks know that lower is better.

    Args:
        names: The columns, in order.

    Attributes:
        metrics: The means.
        shown: Names of the columns that were computed, which `result()` gives. Default all.
    """

    def __init__(self, names: list[str]):
        means = [_keras.to_be_minimized(keras.metrics.Mean(name=name)) for name in names]
        super().__init__(means, name="loss_columns")
        self.shown: Iterable[str] = tuple(names)

    def update_state(self, losses: dict[str, Any], batch_size: Any) -> None:
        """Adds a batch's losses, scalars that Keras has scaled for the replicas."""
        for mean in self.metrics:
            if mean.name in losses:
                mean.update_state(_keras.unscaled(losses[mean.name]), sample_weight=batch_size)

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Shows no column for a while, e.g. where the student is evaluated."""
        shown, self.shown = self.shown, ()
        try:
            yield
        finally:
            self.shown = shown

    def result(self) -> dict[str, Any]:
        """Returns the means by name."""
        return {mean.name: mean.result() for mean in self.metrics if mean.name in self.shown}
