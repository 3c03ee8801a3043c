"""Every test starts from the same random state."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf

# Two devices to share a batch between, before TensorFlow makes one.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def fixed_seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def net():
    """Builds a small classifier: `net(units=3, activation=None, width=8)`."""

    def build(units=3, activation=None, width=8, **kwargs):
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(width, activation="relu"),
                keras.layers.Dense(units, activation=activation, **kwargs),
            ]
        )

    return build


@pytest.fixture
def data():
    """Returns 24 inputs of 4 features and labels of 3 classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 4)).astype("float32"), rng.integers(0, 3, 24)
