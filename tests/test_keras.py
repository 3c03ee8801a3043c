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


def test_nodes_come_behind_what_they_need():
    inputs = keras.Input((4,), name="x")
    shared = keras.layers.Dense(4, name="shared")
    first = shared(inputs)
    added = keras.layers.Add(name="added")([shared(first), first])
    nodes = _keras.nodes([added])
    assert [node.operation.name for node in nodes] == ["x", "shared", "shared", "added"]
    assert [_keras.call_number(node) for node in nodes] == [0, 0, 1, 0]


def test_input_again():
    inputs = keras.Input((None, 4), batch_size=2, dtype="int32", name="x", optional=True)
    again = _keras.input_again(inputs)
    assert again is not inputs
    assert (again.shape, again.dtype, again.name) == ((2, None, 4), "int32", "x")
    assert _keras.origin(again)[0].optional


@pytest.mark.parametrize("grouped", [False, True])
def test_query_key_and_value_of_attention(grouped):
    if grouped:
        attention = keras.layers.GroupQueryAttention(8, 4, 2)
        heads = {"query": (4, 8), "key": (2, 8), "value": (2, 8)}
    else:
        attention = keras.layers.MultiHeadAttention(2, 8)
        heads = {"query": (2, 8), "key": (2, 8), "value": (2, 8)}
    query, value = keras.Input((6, 16)), keras.Input((7, 16))
    (node,) = _keras.nodes([attention(query, value=value)])[2:]
    shapes = {name: (None, 6 if name == "query" else 7, *heads[name]) for name in heads}
    given = node.arguments.args, node.arguments.kwargs
    assert _keras.projection_shapes(attention, *given) == shapes
    rng = np.random.default_rng(0)
    x, memory = (rng.normal(size=(3, n, 16)).astype("float32") for n in (6, 7))
    output, seen = _keras.attend(attention, (x,), {"value": memory})
    np.testing.assert_allclose(output, attention(x, value=memory), rtol=1e-6)
    for name, source in {"query": x, "key": memory, "value": memory}.items():
        projected = getattr(attention, f"_{name}_dense")(source)
        np.testing.assert_allclose(seen[name], projected, rtol=1e-6)
        assert tuple(seen[name].shape[1:]) == shapes[name][1:]


def test_other_layers_have_no_query(model):
    _, node, _ = _keras.origin(model.outputs[0])
    assert _keras.projection_shapes(node.operation, *node.arguments.args, {}) == {}


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


def test_all_layers_and_their_seeds():
    inner = keras.Sequential([keras.Input((5, 4)), keras.layers.Dropout(0.5)])
    wrapped = keras.layers.TimeDistributed(keras.layers.Dense(3))
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, wrapped(inner(inputs)))
    layers = list(_keras.all_layers(model))
    assert layers[0] is model
    assert {type(layer).__name__ for layer in layers} >= {"Dropout", "Dense", "TimeDistributed"}
    (seed,) = _keras.seed_generators(model)
    assert seed.state.shape == (2,)


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


def test_masks_stay_with_the_copy():
    values = keras.ops.ones((2, 3))
    masked = _keras.masked(values, keras.ops.convert_to_tensor([True, False]))
    assert _keras.keras_mask(values) is None
    np.testing.assert_array_equal(_keras.keras_mask(masked), [True, False])
    tokens = keras.ops.convert_to_tensor([[1, 0]])
    embedded = keras.layers.Embedding(3, 2, mask_zero=True)(tokens)
    np.testing.assert_array_equal(_keras.keras_mask(embedded), [[True, False]])


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
