"""Which epoch comes next: set by callbacks, counted up by those who iterate without them."""

import itertools
import threading
import weakref
from pathlib import Path
from typing import Any

import keras

__all__ = ["EpochCallback", "Epochs", "epochs_of", "last_pass"]

_passes = itertools.count(1)
_last_pass = 0


def last_pass() -> int:
    """Returns the number of the pass that was last begun, of whatever dataset."""
    return _last_pass


class Epochs:
    """The epoch that a dataset's next pass shows.

    A pass counts once somebody has asked for more than its first batch, so a look at one batch,
    one's own or Keras', shifts nothing.

    Args:
        batches: The number of elements in a pass, batches or rows, where it is known.

    Attributes:
        last_pass: Number of the pass that was last begun, among those of all datasets.
    """

    def __init__(self, batches: int | None = None):
        self.batches = batches
        self._next = self._times_set = self.last_pass = 0
        self._lock = threading.Lock()

    def set(self, epoch: int, steps_per_epoch: int | None = None) -> None:
        """Has the next pass show `epoch`, or the pass that epochs of fewer steps have come to."""
        if steps_per_epoch and self.batches:
            epoch = epoch * steps_per_epoch // self.batches
        with self._lock:
            self._next = epoch
            self._times_set += 1

    def start(self) -> tuple[int, int]:
        """Returns the epoch of a pass that starts now, and a number to `advance` it by."""
        global _last_pass
        with self._lock:
            _last_pass = self.last_pass = next(_passes)
            return self._next, self._times_set

    def advance(self, epoch: int, times_set: int) -> int:
        """Notes that a pass that showed `epoch` is under way, unless another epoch was set since.

        Returns:
            What comes next.
        """
        with self._lock:
            if times_set == self._times_set:
                self._next = epoch + 1
            return self._next


_of_folders: dict[Path, "weakref.WeakSet[Epochs]"] = {}


def epochs_of(directory: Path | None) -> "weakref.WeakSet[Epochs]":
    """Returns the epochs of all datasets from a folder, however often it was opened."""
    if directory is None:
        return weakref.WeakSet()
    return _of_folders.setdefault(directory.resolve(), weakref.WeakSet())


class EpochCallback(keras.callbacks.Callback):
    """Sets the epoch of soft labels' datasets at the start of each epoch of `fit`.

    Args:
        labels: The `SoftLabels`.
        steps_per_epoch: As given to `fit`. With it Keras reads on where the last epoch stopped, so
            only the first epoch is set, as far as so many steps have come; passes count up.
    """

    def __init__(self, labels: Any, steps_per_epoch: int | None = None):
        super().__init__()
        self._labels = labels
        self._steps = steps_per_epoch
        self._started = False
        self._before: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins anew, wherever another `fit` has come to."""
        self._started = False
        self._before = last_pass()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks whose answers the first batch has brought."""
        if self._before is not None and last_pass() > self._before:
            self._labels.check_began(self._before)
        self._before = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the epoch."""
        if self._steps is None or not self._started:
            self._labels.start_epoch(epoch, self._steps)
        self._started = True
