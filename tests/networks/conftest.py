import keras
import numpy as np
import pytest
from keras import layers


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype("float32")


def _block(name, filters=4):
    return keras.Sequential(
        [
            keras.Input((8, 8, filters if name != "first" else 3)),
            layers.Conv2D(filters, 3, padding="same", name="conv"),
            layers.BatchNormalization(momentum=0.5, name="norm"),
            layers.ReLU(name="relu"),
        ],
        name=name,
    )


@pytest.fixture
def nested():
    """A model of two blocks of equal layers, within a backbone, within a model."""
    inputs = keras.Input((8, 8, 3))
    middle = _block("first")(inputs)
    backbone = keras.Model(inputs, _block("second")(middle) + middle, name="backbone")
    images = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D(name="pool")(backbone(images))
    return keras.Model(images, layers.Dense(3, activation="softmax", name="sort")(pooled))
