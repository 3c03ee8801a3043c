import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import compression


@pytest.fixture(scope="session")
def rounding():
    """Keras' own rounding to a grid, which quantisation-aware students are made of."""
    if not hasattr(keras.quantizers, "fake_quant_with_min_max_vars"):
        pytest.skip("needs Keras 3.9 or newer")


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


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(64, 8, 8, 2)).astype("float32")


@pytest.fixture(scope="module")
def trained(graph, images, rounding):
    student = compression.quantize_aware(graph)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile("adam", loss)
    student.fit(images, np.arange(64) % 3, batch_size=16, verbose=0)
    return student
