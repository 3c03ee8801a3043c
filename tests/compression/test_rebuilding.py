import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.compression.rebuilding import copied, parts, rebuilt


@pytest.fixture
def model():
    inputs, shared = keras.Input((4,), name="x"), layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="within")], name="inner")
    return keras.Model({"x": inputs}, {"y": shared(inner(shared(inputs))) + inputs})


def test_parts_count_calls(model):
    found = [(path, calls) for path, _, calls in parts(model)]
    assert found == [("shared", 2), ("inner/within", 1)]


def test_the_same_graph_of_new_layers(model):
    again = rebuilt(model, lambda layer, path, calls: copied(layer))
    x = {"x": np.ones((2, 4), "float32")}
    np.testing.assert_allclose(again(x)["y"], model(x)["y"])
    again.get_layer("shared").kernel.assign(np.zeros((4, 4)))
    assert np.abs(model.get_layer("shared").kernel).max() > 0
    assert type(again.get_layer("inner")) is keras.Sequential


def test_a_layer_may_go(model):
    again = rebuilt(model, lambda layer, path, calls: None if path == "shared" else copied(layer))
    x = np.ones((2, 4), "float32")
    within = model.get_layer("inner").get_layer("within")
    np.testing.assert_allclose(again({"x": x})["y"], within(x) + x, atol=1e-6)


def test_a_layer_that_keras_cannot_make_again():
    class Stubborn(layers.Layer):
        def __init__(self, needed):
            super().__init__(name="stubborn")

    with pytest.raises(ValueError, match="'stubborn' must be what Keras can make again"):
        copied(Stubborn(1))
