"""Students in tf_keras, for tensorflow-model-optimization."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import compression
from keras_kd.compression.tf_keras_port import packages, to_tf_keras

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def legacy():
    try:
        return packages()
    except ImportError as error:
        pytest.skip(str(error))


def test_layers_and_containers():
    inner = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6, "relu", kernel_regularizer=keras.regularizers.L2(0.1))]
    )
    x, shared = keras.Input((6,), name="x"), layers.Dense(6, name="shared")
    y = layers.LeakyReLU(0.1)(shared(inner(shared(x))) + x)
    y = layers.LSTM(3)(layers.Reshape((2, 3))(y))
    model = keras.Model({"x": x}, {"y": layers.Dense(2, name="y")(y)})
    ported = to_tf_keras(model)
    values = {"x": np.random.default_rng(0).normal(size=(5, 6)).astype("float32")}
    np.testing.assert_allclose(ported(values)["y"], model(values)["y"], atol=1e-5)
    assert float(ported.losses[0]) == pytest.approx(float(model.losses[0]), rel=1e-5)
    assert len(ported.weights) == len(model.weights)


def test_networks_with_their_statistics():
    model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=4)
    assert len(to_tf_keras(model).weights) == len(model.weights)


def test_what_does_not_port_is_named_in_one_error():
    x = keras.Input((4,))
    y = layers.Activation("hard_silu", name="act")(layers.Dense(4, name="dense")(x))
    y = layers.RMSNormalization(name="rms")(y) if hasattr(layers, "RMSNormalization") else y
    y = keras.ops.cumsum(layers.Activation("celu", name="celu")(y))
    with pytest.raises(ValueError, match=r"(?s)equal in tf_keras.*'act'.*'celu'.*cumsum"):
        to_tf_keras(keras.Model(x, y))


def test_other_values_are_found():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4), layers.Activation("hard_sigmoid", name="other")]
    )
    with pytest.raises(ValueError, match="'other', Activation: an error of"):
        to_tf_keras(model)


def test_bad_students():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    with pytest.raises(ValueError, match=r"graph of ordinary layers.*has had prune"):
        to_tf_keras(compression.prune(model, 0.5))
    with pytest.raises(TypeError, match="student must be a Keras model"):
        to_tf_keras("student")
