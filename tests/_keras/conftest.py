import keras
import pytest


@pytest.fixture
def model():
    inputs = keras.Input((4,), name="x")
    output = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5), name="y")(inputs)
    return keras.Model({"x": inputs}, {"y": output})
