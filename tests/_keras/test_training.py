"""Each private name of Keras still does what we take it for."""

import keras
import numpy as np
import pytest

from keras_kd import _keras


def test_set_untracked(model):
    holder = keras.layers.Layer()
    _keras.set_untracked(holder, "model", model)
    assert holder.model is model
    assert not holder.variables


def test_losses_and_metrics_of_a_compiled_model(model):
    assert model.loss is None
    model.compile("sgd")
    assert not _keras.has_metrics(model)
    model.compile("sgd", loss="mse", loss_weights={"y": 2.0}, metrics=["mae"])
    assert model.loss is not None
    assert _keras.has_metrics(model)
    x, y = np.ones((2, 4), "float32"), np.zeros((2, 3), "float32")
    y_pred = model({"x": x})
    value = _keras.compiled_loss(model, {"y": y}, y_pred, None)
    np.testing.assert_allclose(value, 2 * np.mean(np.square(y_pred["y"])), rtol=1e-6)
    penalty = 0.5 * np.sum(np.square(model.layers[-1].kernel))
    np.testing.assert_allclose(_keras.added_losses(model), [penalty], rtol=1e-6)


def test_losses_that_keras_drops():
    """In a scope like that of JAX's step, in which Keras computes the loss, only."""
    layer = keras.layers.Identity(activity_regularizer=keras.regularizers.L1(1.0))
    x = np.ones((1, 4), "float32")
    layer(x)
    kept = [float(loss) for loss in layer.losses]
    with _keras.losses_that_keras_drops() as dropped:
        layer(x)
    assert (dropped, len(layer.losses)) == ([], 1)
    with keras.StatelessScope() as scope:
        with _keras.losses_that_keras_drops() as dropped:
            layer(x)
        assert [float(loss) for loss in dropped] == kept
        assert not scope.collect_losses
    with keras.StatelessScope(collect_losses=True), _keras.losses_that_keras_drops() as dropped:
        layer(x)
    assert dropped == []


def test_compiling_anew_forgets_unless_it_fails(model):
    model.compile("sgd", loss="mse", metrics=["mae"])
    with pytest.raises(ValueError, match="nope"), _keras.compiling_anew(model):
        model.compile("nope")
    assert model.loss is not None
    with _keras.compiling_anew(model):
        model.compile("sgd")
    assert model.loss is None
    assert model._compile_metrics is None


def test_unscaled_without_replicas():
    assert _keras.unscaled(np.float32(3.0)) == 3.0


def test_metrics_that_take_no_weights_get_some(model):
    model.compile("sgd", loss="mse", metrics={"y": ["mae"]}, weighted_metrics={"y": ["mse"]})
    y, output = {"y": np.zeros((2, 3))}, {"y": np.ones((2, 3)) * [[1.0], [3.0]]}
    weights = {"y": np.float32([0.0, 1.0])}
    _keras.update_metrics(model, y, output, weights, {"y": None})
    results = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert results["mae"] == 3.0
    assert results["mse"] == 5.0
    with _keras.without_metrics(model):
        assert set(model.get_metrics_result()) == {"loss"}
    assert "mae" in model.get_metrics_result()
    assert len(model.metrics) == 2  # the loss and the compiled ones, still


def test_callbacks_know_that_lower_is_better():
    means = _keras.MetricsList([_keras.to_be_minimized(keras.metrics.Mean(name="mine"))])
    model = keras.Sequential([keras.Input((4,))])
    model.means = means
    stop = keras.callbacks.EarlyStopping(monitor="mine")
    stop.set_model(model)
    stop._set_monitor_op()
    assert stop.monitor_op is keras.ops.less
    means.metrics[0].update_state(2.0)
    assert model.means.variables
    means.reset_state()
    assert float(means.metrics[0].result()) == 0.0


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX keeps its state to itself")
def test_jax_takes_a_state_back():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", loss="mse")
    model.optimizer.build(model.trainable_variables)
    kinds = {f"{kind}_variables": True for kind in ("trainable", "non_trainable", "optimizer")}
    state = model._get_jax_state(**kinds, metrics_variables=True, purge_model_variables=True)
    assert model.trainable_variables[0]._value is None
    _keras.hand_back(model, state)
    _keras.up_to_date(model)
    assert model.trainable_variables[0].shape == model.trainable_variables[0].value.shape
