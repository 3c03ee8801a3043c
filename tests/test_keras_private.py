"""Each private name of Keras that `_keras.py` touches still does what we take it for."""

import keras
import numpy as np
import pytest

from keras_kd import _keras


@pytest.fixture
def model():
    inputs = keras.Input((4,), name="x")
    output = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5), name="y")(inputs)
    return keras.Model({"x": inputs}, {"y": output})


def test_graph(model):
    inputs, outputs = _keras.graph(model)
    assert (list(inputs), list(outputs)) == (["x"], ["y"])
    assert keras.Model(inputs, outputs).count_params() == model.count_params()
    sequential = keras.Sequential([keras.layers.Dense(3)])
    assert _keras.graph(sequential) is None
    sequential.build((None, 4))
    assert [t.shape for t in _keras.graph(sequential)] == [(None, 4), (None, 3)]


def test_origin(model):
    operation, node, index = _keras.origin(model.outputs[0])
    assert (operation.name, index) == ("y", 0)
    assert node.input_tensors[0].name == "x"
    assert node.arguments.args[0] is node.input_tensors[0]


def test_shallow_copy_shares_the_weights_and_nothing_else(model):
    layer = model.layers[-1]
    twin = _keras.shallow_copy(layer)
    twin.__dict__["activation"] = keras.activations.relu
    assert twin.kernel is layer.kernel
    assert layer.activation is keras.activations.linear
    nodes = len(layer._inbound_nodes)
    twin(keras.Input((4,)))
    assert len(layer._inbound_nodes) == nodes


def test_set_untracked(model):
    holder = keras.layers.Layer()
    _keras.set_untracked(holder, "model", model)
    assert holder.model is model
    assert not holder.variables


def test_losses_and_metrics_of_a_compiled_model(model):
    assert not _keras.has_loss(model)
    model.compile("sgd")
    with pytest.raises(ValueError, match="evaluate must have something to compute"):
        _keras.check_evaluable(model)
    model.compile("sgd", loss="mse", loss_weights={"y": 2.0}, metrics=["mae"])
    assert _keras.has_loss(model)
    _keras.check_evaluable(model)
    x, y = np.ones((2, 4), "float32"), np.zeros((2, 3), "float32")
    y_pred = model({"x": x})
    value = _keras.compiled_loss(model, {"y": y}, y_pred, None)
    np.testing.assert_allclose(value, 2 * np.mean(np.square(y_pred["y"])), rtol=1e-6)
    penalty = 0.5 * np.sum(np.square(model.layers[-1].kernel))
    np.testing.assert_allclose(_keras.added_losses(model), [penalty], rtol=1e-6)


def test_compiling_anew_forgets_unless_it_fails(model):
    model.compile("sgd", loss="mse", metrics=["mae"])
    with pytest.raises(ValueError, match="nope"), _keras.compiling_anew(model):
        model.compile("nope")
    assert _keras.has_loss(model)
    with _keras.compiling_anew(model):
        model.compile("sgd")
    assert not _keras.has_loss(model)
    assert model._compile_metrics is None


def test_unscaled_without_replicas():
    assert _keras.unscaled(np.float32(3.0)) == 3.0
