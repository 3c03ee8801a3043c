"""Each private name of Keras still does what we take it for."""

import keras

from keras_kd import _keras


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
    assert node.args[0] is node.input_tensors[0]


def test_nodes_come_behind_what_they_need():
    inputs = keras.Input((4,), name="x")
    shared = keras.layers.Dense(4, name="shared")
    first = shared(inputs)
    added = keras.layers.Add(name="added")([shared(first), first])
    nodes = _keras.nodes([added])
    assert [node.operation.name for node in nodes] == ["x", "shared", "shared", "added"]
    assert [node.number for node in nodes] == [0, 0, 1, 0]
    assert _keras.origin(added)[1] == nodes[-1] != nodes[0]
    assert len({*nodes, *_keras.nodes([added])}) == 4


def test_input_again():
    inputs = keras.Input((None, 4), batch_size=2, dtype="int32", name="x", optional=True)
    again = _keras.input_again(inputs)
    assert again is not inputs
    assert (again.shape, again.dtype, again.name) == ((2, None, 4), "int32", "x")
    assert _keras.origin(again)[0].optional


def test_shallow_copy_shares_the_weights_and_nothing_else(model):
    layer = model.layers[-1]
    twin = _keras.shallow_copy(layer)
    twin.__dict__["activation"] = keras.activations.relu
    assert twin.kernel is layer.kernel
    assert layer.activation is keras.activations.linear
    nodes = len(layer._inbound_nodes)
    twin(keras.Input((4,)))
    assert len(layer._inbound_nodes) == nodes


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


def test_tensors_of_a_graph_have_an_origin(model):
    assert _keras.has_origin(model.inputs[0])
    assert not _keras.has_origin(keras.KerasTensor((None, 4)))
