"""One pipeline for all passes over a dataset: to build another takes as long as many steps."""

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

# So many batches are made before they are needed, however many the cores.
_MOST_AHEAD = 16


class ReadAhead:
    """Gives any batch of any epoch, and prepares those that follow it in its epoch.

    Args:
        batch: Makes a batch, a structure of tensors, of an epoch and the batch's number within it,
            int64 scalars. It is traced once.
        batches: The number of batches in an epoch.

    Attributes:
        element_spec: What a batch looks like.
    """

    def __init__(self, batch: Callable[[Any, Any], Any], batches: int):
        import tensorflow as tf

        cores = os.cpu_count() or 1
        self._batches, self._most_ahead = batches, min(2 * cores + 4, _MOST_AHEAD)
        self._lock = threading.Lock()
        self._due: tuple[int, int] | None = None
        self._ordered = self._outstanding = 0
        options = tf.data.Options()
        options.autotune.enabled = False
        # Whoever waits in `read` holds a thread of TensorFlow's own pool.
        options.threading.private_threadpool_size = cores
        with tf.init_scope(), tf.device("CPU:0"):
            queue = tf.queue.FIFOQueue(self._most_ahead, tf.int64, shapes=(2,))
            orders = tf.data.Dataset.counter().map(lambda _: queue.dequeue())
            made = orders.map(lambda order: batch(order[0], order[1]), num_parallel_calls=cores)
            self._pipeline = made.with_options(options)
            self._made = iter(self._pipeline)
        self._queue, self.element_spec = queue, self._pipeline.element_spec

    def read(self, epoch: int, index: int) -> list[np.ndarray]:
        """Returns the leaves of a batch, in TensorFlow's order.

        Args:
            epoch: The epoch.
            index: The number of the batch in the epoch.

        Raises:
            ValueError: If the batch cannot be made.
        """
        import tensorflow as tf

        with self._lock:
            if (epoch, index) != self._due:
                self._drop()
                self._ordered = index
            self._order(epoch)
            self._due = epoch, index + 1
            self._outstanding -= 1
            try:
                return [leaf.numpy() for leaf in tf.nest.flatten(next(self._made))]
            except tf.errors.OpError as error:
                # TensorFlow hands on an error of Python's as an invalid argument again.
                raise ValueError(error.message) from None

    def _order(self, epoch: int) -> None:
        """Orders the next batches of an epoch, some at a time: a call takes as long as a batch."""
        room = self._most_ahead - self._outstanding
        new = range(self._ordered, min(self._ordered + room, self._batches))
        if new and (not self._outstanding or room >= self._most_ahead // 2):
            self._queue.enqueue_many(np.array([(epoch, index) for index in new], "int64"))
            self._outstanding += len(new)
            self._ordered = new.stop

    def _drop(self) -> None:
        """Takes what was ordered for a pass that somebody has left, or that was interrupted."""
        import tensorflow as tf

        while self._outstanding:
            self._outstanding -= 1
            try:
                next(self._made)
            except tf.errors.OpError:  # of a batch that nobody has asked for
                continue
