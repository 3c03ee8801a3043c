"""What Keras' `fit` gets wrong where several workers train together."""

from typing import Any

import keras

__all__ = ["BuiltByWorkers", "workers"]


def workers(model: keras.Model) -> Any:
    """Returns the strategy of several workers that `model` was made under, or `None`."""
    strategy = getattr(model, "_distribute_strategy", None)  # TensorFlow's models only
    if strategy is None:
        return None
    import tensorflow as tf

    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return strategy if several else None


class BuiltByWorkers(keras.Model):
    """A model that looks at its first batch with several workers, too."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Keras would reduce the batch over the workers, as if it were a number.
        strategy = workers(self)
        if strategy is None or iterator is None:
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
            return
        for *_, steps in iterator:
            batch = keras.tree.map_structure(
                lambda leaf: strategy.experimental_local_results(leaf)[0], next(steps)
            )
            with strategy.scope():
                self._symbolic_build(data_batch=batch)
            break
