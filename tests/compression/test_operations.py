import keras
import pytest
from keras import layers

from keras_kd.compression.operations import activation_of, is_fused, keeps_values


@pytest.mark.parametrize(
    ("layer", "name", "fused", "keeps"),
    [
        (layers.ReLU(), "relu", True, False),
        (layers.ReLU(6.0), "relu6", True, False),
        (layers.ReLU(negative_slope=0.1), "other", False, False),
        (layers.Activation("linear"), "linear", True, True),
        (layers.Softmax(axis=1), "other", False, False),
        (layers.Flatten(), None, False, True),
        (layers.UpSampling2D(), None, False, True),
        (layers.UpSampling2D(interpolation="bilinear"), None, False, False),
    ],
)
def test_kinds_of_layers(layer, name, fused, keeps):
    assert activation_of(layer) == name
    assert is_fused(activation_of(layer)) == fused
    assert keeps_values(layer) == keeps


def test_functions():
    x = keras.Input((4,))
    assert activation_of(keras.ops.relu(x)._keras_history.operation) == "relu"
    assert keeps_values(keras.ops.reshape(x, (-1, 2, 2))._keras_history.operation)
