"""Where a student's tensors are rounded."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from keras_kd import compression

pytestmark = pytest.mark.usefixtures("rounding")

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def graph():
    """A student of folded norms, a residual sum, a concatenation and a nested backbone."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.SeparableConv2D(4, 3, padding="same", activation="relu", name="separable"),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            layers.BatchNormalization(name="norm"),
        ],
        name="backbone",
    )
    y = layers.Add(name="add")([x, backbone(x)])
    x = layers.Concatenate(name="both")([x, y])
    x = layers.Dense(8, activation="silu", name="dense")(layers.GlobalMaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(3, name="logits")(x))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_heads_are_found(data, activation):
    x, _ = data
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation=activation)])
    student = compression.quantize_aware(model)
    distiller = keras_kd.Distiller(student=student, teacher=model)
    distiller.compile("sgd", None)
    assert np.isfinite(distiller.fit(x, verbose=0).history["loss"][0])
    assert type(compression.finish(student).layers[-1]) is layers.Dense
    assert compression.finish(student).layers[-1].activation.__name__ == activation


def test_first_and_last_and_skip(graph):
    def bits(student):
        found = {}
        for layer in student.layers:
            for transform in getattr(layer, "transforms", []):
                found[layer.layer.name] = transform.bits
        return found

    student = compression.quantize_aware(graph, bits=4, first_and_last=8)
    assert bits(student) == {"conv": 8, "dense": 4, "logits": 8}
    student = compression.quantize_aware(graph, bits=4, skip=["dense"])
    assert bits(student) == {"conv": 4, "logits": 4}
