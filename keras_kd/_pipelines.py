"""tf.data pipelines as all of keras_kd builds them."""

import weakref
from collections.abc import Iterator
from typing import Any

__all__ = ["Held", "untuned"]


class Held:
    """An iterator over a pipeline with functions in Python, that ends before the interpreter does.

    While Python exits, it kills threads that wait to run such a function. What destroys the
    iterator afterwards waits for them forever.

    Args:
        iterator: The iterator, to which nobody else keeps a reference.
    """

    def __init__(self, iterator: Iterator[Any]):
        self._only = [iterator]
        weakref.finalize(self, self._only.clear)  # at exit, too, while Python still works

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._only[0])


def untuned(dataset: Any) -> Any:
    """Returns a `tf.data.Dataset` that ends as soon as its last element is taken.

    TensorFlow's tuner works in a thread that sleeps 10 ms, 20 ms, 40 ms ..., and the end of the
    pipeline often waits until it wakes: 2.55 s, 5.11 s or 10.23 s after the start, however short
    the work was. Without it, parallel calls left to it are as many as the threads of the pool.

    Args:
        dataset: The dataset; its other options stay.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
