"""Layer paths: which are there, what they name, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import taps
from keras_kd.networks.heads import LogitsModel
from tests.networks.tapped import same, tapped


def test_all_paths(nested):
    paths = taps.paths(nested)
    assert "backbone/second/norm" in paths
    assert "backbone/first" in paths
    assert paths[-1] == "sort"
    for path in paths:
        taps.find(nested, path, "teacher")
    for path in paths[1:]:
        taps.find(nested, path, "student")


@pytest.mark.parametrize(
    ("path", "close"),
    [
        ("backbone/second/reluu", "backbone/second/relu"),
        ("seconds", "backbone/second"),
        ("pool/conv", "backbone/first/conv"),
        ("Sort", "sort"),
    ],
)
def test_unknown_paths_name_the_closest(nested, path, close):
    with pytest.raises(ValueError, match=f"teacher of a Term must be the path.*'{close}'"):
        taps.find(nested, path, "teacher")


@pytest.mark.parametrize("path", [3, "", ["conv"], None])
def test_a_path_is_a_string(nested, path):
    with pytest.raises(TypeError, match="must be a layer path"):
        taps.find(nested, path, "student")


def test_inputs_teach_a_student_nothing(nested):
    first = taps.paths(nested)[0]
    taps.find(nested, first, "teacher")
    with pytest.raises(ValueError, match=r"layer after the input.*an InputLayer"):
        taps.find(nested, first, "student")
    inside = next(path for path in taps.paths(nested) if path.startswith("backbone/"))
    assert isinstance(nested.get_layer("backbone").layers[0], layers.InputLayer)
    assert taps.find(nested, inside, "student")  # behind what the layers around it learn


@pytest.mark.parametrize("model", ["a", None, keras.Sequential([layers.Dense(2)])])
def test_paths_are_those_of_a_built_model(model):
    with pytest.raises((TypeError, ValueError), match="model must be"):
        taps.paths(model)


def test_paths_come_in_the_order_of_the_calls():
    first, second = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    tower = layers.Dense(3, name="tower")
    model = keras.Model(
        [first, second], layers.Concatenate(name="c")([tower(first), tower(second)])
    )
    assert taps.paths(model) == ["a", "tower:0", "b", "tower:1", "c"]


def test_only_attention_has_a_query(nested):
    with pytest.raises(ValueError, match="query only where there is attention"):
        taps.find(nested, "pool:query", "student")


def test_a_layer_with_several_outputs_has_no_single_signal():
    inputs = keras.Input((5, 4))
    output, *_ = layers.LSTM(3, return_state=True, name="lstm")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(output))
    with pytest.raises(ValueError, match=r"gives one tensor.*'lstm', which gives 3"):
        taps.find(model, "lstm", "student")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.dense = layers.Dense(3, name="dense")

    def call(self, x):
        return self.dense(x)


def test_subclassed_models_say_how_to_return_the_signal():
    model = Subclassed()
    model(np.zeros((1, 4)))
    words = "subclassed model 'subclassed'.*Return the signal as an output.*output='features'"
    with pytest.raises(ValueError, match=words):
        taps.find(model, "dense", "student")
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match=words):
        taps.find(keras.Model(inputs, model(inputs)), "subclassed/dense", "student")


def oddly_named():
    inputs = keras.Input((6, 4), name="x:query")
    twice = layers.Dense(4, name="conv:1")
    x = twice(twice(inputs))
    inner_inputs = keras.Input((6, 4))
    inner = keras.Model(inner_inputs, layers.Dense(4, name="d:0")(inner_inputs), name="inner:2")
    x = inner(inner(x))
    x = layers.MultiHeadAttention(2, 4, name="att:key")(x, x)
    return keras.Model(inputs, layers.Dense(3, name="end:query")(x))


def oddly_named_stack():
    return keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a:value"), layers.Dense(3)])


@pytest.mark.parametrize("build", [oddly_named, oddly_named_stack])
def test_all_paths_that_are_listed_are_found(build):
    model = build()
    paths = taps.paths(model)
    assert len(paths) == len(set(paths)) >= 3
    places = [taps.find(model, path, "teacher") for path in paths]
    assert len(set(places)) == len(paths)


def test_a_signal_from_inside_of_a_nested_model_that_ends_in_a_softmax():
    inner_inputs = keras.Input((8,))
    hidden = layers.Dense(6, "relu", name="hidden")(inner_inputs)
    head = layers.Dense(3, "softmax", name="head")(hidden)
    inner = keras.Model(inner_inputs, head, name="inner")
    inputs = keras.Input((8,))
    model = keras.Model(inputs, inner(inputs))
    x = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    tapped = LogitsModel(model, None, role="student").with_taps(["inner/hidden", "inner/head"])
    output, signals = tapped(x, training=False)
    np.testing.assert_allclose(output, model(x), rtol=1e-5)
    expected = np.maximum(x @ np.asarray(inner.layers[1].kernel), 0)
    np.testing.assert_allclose(signals["layer:inner/hidden"], expected, rtol=1e-5)
    np.testing.assert_allclose(signals["layer:inner/head"], model(x), rtol=1e-5)
    logits = expected @ np.asarray(inner.layers[2].kernel)
    (found,) = (signals[name] for name in tapped.heads)
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-5)


def automatic():
    """A block and a model around it, which Keras names and counts."""
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv"), layers.ReLU(name="relu")]
    )
    images = keras.Input((8, 8, 3))
    return keras.Model(images, layers.Flatten(name="flat")(inner(images)))


def test_the_end_of_a_path_is_enough(nested, x):
    full = "backbone/second/conv"
    _, found = tapped(nested, "second/conv", full, "pool", "backbone/first/relu")(x)
    same(found["second/conv"], found[full])
    assert taps.find(nested, "second/conv", "student") == taps.find(nested, full, "student")
    for _ in range(2):  # as a notebook's cell that is run twice
        model = automatic()
        (block,) = (path for path in taps.paths(model) if path.endswith("/relu"))
        assert taps.find(model, "relu", "student") == taps.find(model, block, "student")


def test_an_end_of_several_paths_is_refused(nested):
    with pytest.raises(ValueError, match=r"name one layer.*'backbone/first/conv', 'backbone/secon"):
        taps.find(nested, "conv", "student")
    with pytest.raises(ValueError, match="the path of a layer"):
        taps.find(nested, "cond/conv", "student")  # whole names only


def test_a_full_path_wins_over_the_end_of_another():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a")], name="inner")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2, name="a")(inner(inputs)))
    assert taps.find(model, "a", "student").steps == (("a", 0),)
    assert taps.find(model, "inner/a", "student").steps == (("inner", 0), ("a", 0))


def test_the_ends_of_repeated_calls_and_of_parts():
    tokens = keras.Input((5, 4))
    attention = layers.MultiHeadAttention(2, 3, name="att")
    shared = layers.Dense(4, name="shared")
    attended = attention(shared(shared(tokens)), tokens)
    inner = keras.Model(tokens, attended, name="inner")
    tokens = keras.Input((5, 4))
    model = keras.Model(tokens, layers.Dense(2)(inner(tokens)))
    assert taps.find(model, "shared:1", "student").steps[-1] == ("shared", 1)
    assert taps.find(model, "att:query", "student") == taps.find(
        model, "inner/att:query", "student"
    )
    with pytest.raises(ValueError, match=r"one of \['inner/shared:0', 'inner/shared:1'\]"):
        taps.find(model, "shared", "student")


def test_a_path_of_another_run_gets_the_end_that_stays():
    model = automatic()
    with pytest.raises(ValueError, match="Write 'relu', which names 'sequential"):
        taps.find(model, "sequential_999/relu", "student")


class Block(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(2, 3)

    def call(self, x):
        return self.attention(x, x)


@pytest.mark.parametrize("path", ["block:query", "block/attention:query", "block/attention"])
def test_what_a_layer_holds_inside_is_said_to_be_out_of_reach(path):
    tokens = keras.Input((5, 4))
    model = keras.Model(tokens, layers.Dense(2)(Block(name="block")(tokens)))
    with pytest.raises(ValueError, match="something inside of the Block"):
        taps.find(model, path, "student")
