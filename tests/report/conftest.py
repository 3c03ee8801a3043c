import keras
import numpy as np
import pytest


@pytest.fixture(scope="module")
def three():
    keras.utils.set_random_seed(0)

    def net(width, activation=None):
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(width, activation="relu", bias_initializer="normal"),
                keras.layers.Dense(7, activation=activation, bias_initializer="normal"),
            ]
        )

    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    teacher = net(32)
    return {"Teacher": teacher, "Student": net(4), "Distilled": net(4, "softmax")}, x
