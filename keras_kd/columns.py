"""The columns that a Distiller adds to the training logs."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_kd import _keras


class LossColumns(keras.metrics.Metric):
    """Running means of several losses.

    Args:
        names: The columns, in order.

    Attributes:
        shown: Names of the columns that were computed, which `result()` gives. Default all.
    """

    def __init__(self, names: list[str]):
        super().__init__(name="loss_columns")
        self.means = [keras.metrics.Mean(name=name) for name in names]
        self.shown: Iterable[str] = tuple(names)

    def update_state(self, losses: dict[str, Any], batch_size: Any) -> None:
        """Adds a batch's losses, scalars that Keras has scaled for the replicas."""
        for mean in self.means:
            if mean.name in losses:
                mean.update_state(_keras.unscaled(losses[mean.name]), sample_weight=batch_size)

    def reset_state(self) -> None:
        """Starts all columns anew."""
        for mean in self.means:
            mean.reset_state()

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
        return {mean.name: mean.result() for mean in self.means if mean.name in self.shown}
