"""tf.data pipelines as all of keras_kd builds them."""

from typing import Any

__all__ = ["untuned"]


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
