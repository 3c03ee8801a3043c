"""One pipeline for all passes over a stream, which is read in its order alone."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_kd._pipelines import Held, untuned

__all__ = ["ReadOn"]

# So many passes that nobody has ended are kept where they stand; older ones are read again.
_MOST_OPEN = 4


class ReadOn:
    """Gives the pieces of a stream, pass by pass.

    A pass that has come to its end lends its iterator to the next one. What an iterator needs, the
    stream's own pipeline included, is built once so.

    Args:
        one_pass: Makes a dataset of pieces of an epoch, an int64 scalar. It is traced once.

    Attributes:
        element_spec: What a piece looks like.
    """

    def __init__(self, one_pass: Callable[[Any], Any]):
        import tensorflow as tf

        self._lock = threading.Lock()
        self._open: dict[int, tuple[int, Any]] = {}  # how far each pass has come, and with what
        self._idle: list[Any] = []

        specs: list[Any] = []

        def with_end(epoch: Any) -> Any:
            pieces = one_pass(epoch).prefetch(tf.data.AUTOTUNE)
            spec = pieces.element_spec
            specs.append(spec)
            is_tuple = isinstance(spec, tuple)
            given = pieces.map(
                lambda *parts: tf.experimental.Optional.from_value(parts if is_tuple else parts[0])
            )
            end = tf.data.Dataset.range(1).map(lambda _: tf.experimental.Optional.empty(spec))
            return given.concatenate(end)

        with tf.init_scope(), tf.device("CPU:0"):
            self._queue = queue = tf.queue.FIFOQueue(1, tf.int64, shapes=())
            epochs = tf.data.Dataset.counter().map(lambda _: queue.dequeue())
            self._pipeline = untuned(epochs.flat_map(with_end))
        self.element_spec = specs[0]

    def read(self, number: int, epoch: int, index: int) -> list[np.ndarray] | None:
        """Returns the leaves of a piece, in TensorFlow's order; `None` at the end of the pass.

        Args:
            number: A number of the pass that asks, which no other has.
            epoch: The epoch that it shows.
            index: The number of the piece in the pass.

        Raises:
            ValueError: If the piece cannot be made.
        """
        import tensorflow as tf

        with self._lock:
            place, iterator = self._open.pop(number, None) or (0, self._begun(epoch))
            try:
                for _ in range(place, index + 1):
                    piece = next(iterator)
            except tf.errors.OpError as error:
                # TensorFlow hands on an error of Python's as an invalid argument again.
                raise ValueError(error.message) from None
            if not piece.has_value():
                self._idle.append(iterator)
                return None
            self._open[number] = index + 1, iterator
            if len(self._open) > _MOST_OPEN:
                del self._open[next(iter(self._open))]
        leaves = tf.nest.flatten(piece.get_value(), expand_composites=True)
        return [np.asarray(leaf) for leaf in leaves]

    def __del__(self):
        # The garbage collector knows no order, and TensorFlow crashes where the functions of an
        # iterator go before it.
        getattr(self, "_open", {}).clear()
        getattr(self, "_idle", []).clear()

    def _begun(self, epoch: int) -> Any:
        """Returns an iterator whose next piece is the first of an epoch."""
        iterator = self._idle.pop() if self._idle else Held(iter(self._pipeline))
        self._queue.enqueue(epoch)
        return iterator
