"""A small data set, a teacher and students of it, and a way to write soft labels in silence."""

import functools

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import soft_labels

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


@pytest.fixture
def twins(classifier):
    """Returns `f()`: students of one initial state."""
    first = classifier(6)

    def twin():
        copy = keras.models.clone_model(first)
        copy.set_weights(first.get_weights())
        return copy

    return twin


@pytest.fixture
def soft(images, classifier, write):
    given = {"augment": soft_labels.crop_flip, "views": 3}
    return write(teacher=classifier(8), data=images[0], **given)


@pytest.fixture
def two_inputs():
    """Builds `model(names, keyed)` of two inputs of one shape, and two outputs of one shape."""

    def build(names, keyed=False, outputs=("main", "aux")):
        inputs = {name: keras.Input((4,), name=name) for name in names}
        hidden = [keras.layers.Dense(3 + n)(inputs[name]) for n, name in enumerate(sorted(names))]
        hidden = keras.layers.Concatenate()(hidden)
        logits = [keras.layers.Dense(3, name=name)(hidden) for name in outputs]
        return keras.Model(inputs if keyed else list(inputs.values()), logits)

    return build


@pytest.fixture
def queries():
    """Two inputs of one shape, by name."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(24, 4)).astype("float32") for name in ("query", "document")}
