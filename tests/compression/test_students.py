"""Which students can be compressed."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import compression


def dense():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu", name="hidden"), layers.Dense(3, name="logits")]
    )


def test_bad_students():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    subclassed = Subclassed()
    subclassed(np.ones((1, 4), "float32"))
    with pytest.raises(TypeError, match="student must be a Keras model"):
        compression.prune("model", 0.5)
    with pytest.raises(ValueError, match="student must be built"):
        compression.prune(keras.Sequential([layers.Dense(3)]), 0.5)
    with pytest.raises(ValueError, match="student must show its graph"):
        compression.prune(subclassed, 0.5)
    with pytest.raises(ValueError, match="must come once, in the order prune, cluster"):
        compression.prune(compression.prune(dense(), 0.5), 0.5)
    with pytest.raises(ValueError, match="student must be compressed"):
        compression.finish(dense())
    with pytest.raises(ValueError, match="Train to the end of the schedule"):
        compression.finish(compression.prune(dense(), 0.5))
