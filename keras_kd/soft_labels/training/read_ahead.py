"""One pipeline for all passes over a dataset: to build another takes as long as many steps."""

import collections
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_kd._pipelines import Held, untuned

__all__ = ["ReadAhead"]

# So many batches are made before they are needed, however many the cores.
_MOST_AHEAD = 16

# A pass, its epoch, and the number of a batch within it.
_Order = tuple[int, int, int]


class ReadAhead:
    """Gives any batch of any epoch, and prepares those that follow it in its epoch.

    Passes may run beside each other: batches of one that come while another waits are kept for it.

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
        self._ordered: collections.deque[_Order] = collections.deque()
        self._kept: dict[_Order, Any] = {}  # in the order in which they came
        options = tf.data.Options()
        # Whoever waits in `read` holds a thread of TensorFlow's own pool.
        options.threading.private_threadpool_size = cores
        with tf.init_scope(), tf.device("CPU:0"):
            queue = tf.queue.FIFOQueue(self._most_ahead, tf.int64, shapes=(2,))
            orders = tf.data.Dataset.counter().map(lambda _: queue.dequeue())
            made = orders.map(lambda order: batch(order[0], order[1]), num_parallel_calls=cores)
            self._pipeline = untuned(made.with_options(options))
            self._made = Held(iter(self._pipeline))
        self._queue, self.element_spec = queue, self._pipeline.element_spec

    def read(self, number: int, epoch: int, index: int) -> list[np.ndarray]:
        """Returns the leaves of a batch, in TensorFlow's order.

        Args:
            number: A number of the pass that asks, which no other has.
            epoch: The epoch that it shows.
            index: The number of the batch in the epoch.

        Raises:
            ValueError: If the batch cannot be made.
        """
        import tensorflow as tf

        wanted = number, epoch, index
        with self._lock:
            self._order_from(wanted)
            while wanted not in self._kept:
                self._keep_next()
            made = self._kept.pop(wanted)
        if isinstance(made, tf.errors.OpError):
            # TensorFlow hands on an error of Python's as an invalid argument again.
            raise ValueError(made.message) from None
        # As views: what `.numpy()` copies lies unaligned, and is copied again.
        return [np.asarray(leaf) for leaf in made]

    def _order_from(self, wanted: _Order) -> None:
        """Orders a batch and those after it, some at a time: a call takes as long as a batch."""
        number, epoch, index = wanted
        there = {place for *of, place in (*self._ordered, *self._kept) if of == [number, epoch]}
        first = index
        while first in there:
            first += 1
        while index not in there and len(self._ordered) == self._most_ahead:
            self._keep_next()
        room = self._most_ahead - len(self._ordered)
        new = range(first, min(index + self._most_ahead, first + room, self._batches))
        if new and (index not in there or len(new) >= self._most_ahead // 2):
            self._queue.enqueue_many(np.array([(epoch, place) for place in new], "int64"))
            self._ordered.extend((number, epoch, place) for place in new)

    def _keep_next(self) -> None:
        """Takes what was ordered first; of passes that somebody has left, the oldest goes."""
        import tensorflow as tf

        order = self._ordered.popleft()
        try:
            self._kept[order] = tf.nest.flatten(next(self._made))
        except tf.errors.OpError as error:  # perhaps of a batch that nobody comes to ask for
            self._kept[order] = error
        if len(self._kept) > 2 * self._most_ahead:
            del self._kept[next(iter(self._kept))]
