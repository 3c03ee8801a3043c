"""A small data set, a teacher and students of it, and a way to write soft labels in silence."""

import functools

import keras
import numpy as np
import pytest

import keras_kd

SAMPLES = 300


@pytest.fixture
def images():
    """Returns `(x, y)`: 300 images 8x8 in three channels, uint8, of 3 classes."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (SAMPLES, 8, 8, 3)).astype("uint8")
    return x, rng.integers(0, 3, SAMPLES)


@pytest.fixture
def classifier():
    """Builds a classifier of the images: `classifier(width, classes=3, activation=None)`."""

    def build(width, classes=3, activation=None):
        return keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.Rescaling(1 / 64, offset=-2.0),
                keras.layers.Flatten(),
                keras.layers.Dense(width, activation="relu"),
                keras.layers.Dense(classes, activation=activation),
            ]
        )

    return build


@pytest.fixture
def write():
    """Returns `SoftLabels.write(None, verbose=0, ...)`."""
    return functools.partial(keras_kd.SoftLabels.write, None, verbose=0)


@pytest.fixture
def stored():
    """Returns `f(logits)`: the logits as float16 keeps them."""
    return lambda logits: np.asarray(logits).astype("float16")
