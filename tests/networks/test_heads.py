"""The head that is known of a model, and its logits."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd.networks.heads import LogitsModel, invert

X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


def functional(end, shape=(6,), activation=None):
    inputs = keras.Input(shape)
    return keras.Model(inputs, end(layers.Dense(5, activation=activation)(inputs)))


def dense(activation):
    def build():
        inputs = keras.Input((6,))
        return keras.Model(inputs, layers.Dense(5, activation=activation)(inputs))

    return build


def test_sequential_and_several_outputs():
    sequential = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Softmax()])
    assert LogitsModel(sequential, None, role="student").heads["output"].kind == "softmax"

    inputs = keras.Input((6,))
    a, b = layers.Dense(2, name="a")(inputs), layers.Dense(3, "sigmoid", name="b")(inputs)
    as_dict = LogitsModel(keras.Model(inputs, {"z": a, "k": b}), None, role="student")
    assert {name: head.kind for name, head in as_dict.heads.items()} == {
        "k": "sigmoid",
        "z": "logits",
    }
    as_list = LogitsModel(keras.Model(inputs, [a, b]), None, role="student")
    assert as_list.names == ["a", "b"]
    output, logits = as_dict(X)
    np.testing.assert_allclose(ops.sigmoid(logits["k"]), output["k"], rtol=1e-6)
    np.testing.assert_array_equal(logits["z"], output["z"])
    output, logits = as_list(X)
    np.testing.assert_allclose(ops.sigmoid(logits["b"]), output[1], rtol=1e-6)


class Subclassed(keras.Model):
    def __init__(self, activation=None):
        super().__init__()
        self.dense = layers.Dense(5, activation=activation)

    def call(self, x):
        return self.dense(x)


def built(activation):
    model = Subclassed(activation)
    model(X)
    return model


def test_subclassed_models_have_no_known_head_unless_given():
    model = built(None)
    assert LogitsModel(model, None, role="student").heads["output"].kind is None
    given = LogitsModel(model, "logits", role="student")
    assert given.heads["output"].kind == "logits"
    np.testing.assert_array_equal(given(X)[1]["output"], model(X))


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_a_subclassed_teachers_probabilities_are_inverted(kind):
    model = built(kind)
    output, logits = LogitsModel(model, kind, role="teacher")(X)
    activation = getattr(ops, kind)
    np.testing.assert_allclose(activation(logits["output"]), output, rtol=1e-5)


def test_a_subclassed_students_inversion_warns():
    with pytest.warns(UserWarning, match="taken from the logarithm of its probabilities"):
        LogitsModel(built("softmax"), "softmax", role="student")


def test_inverted_probabilities_are_finite_at_0_and_1():
    model = built("softmax")
    model.dense.kernel.assign(np.eye(6, 5) * 1e4)
    _, logits = LogitsModel(model, "softmax", role="teacher")(np.eye(6, dtype="float32"))
    assert np.isfinite(logits["output"]).all()


def test_a_probability_of_0_counts_as_a_small_one_that_none_of_its_row_is_below():
    p = np.array([[0.5, 0.5, 0.0], [1.0, 1e-20, 0.0], [0.9, 0.1 - 1e-9, 1e-9]], "float32")
    expected = np.array([[0.5, 0.5, 1e-7], [1.0, 1e-20, 1e-20], p[2]])
    np.testing.assert_allclose(invert("softmax", p), np.log(expected), rtol=1e-6)
    on_off = invert("sigmoid", np.array([[0.0, 1.0, 0.25]], "float32"))
    sure = np.log(1 - 1e-7) - np.log(1e-7)
    np.testing.assert_allclose(on_off, [[-sure, sure, np.log(1 / 3)]], rtol=1e-5)


def test_an_overridden_head_wins_over_the_graph():
    with pytest.warns(UserWarning, match="student_head says that the output 'output' is logits"):
        given = LogitsModel(dense("softmax")(), "logits", role="student")
    output, logits = given(X)
    assert given.heads["output"].kind == "logits"
    np.testing.assert_array_equal(logits["output"], output)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_an_unknown_end_signals_the_output_itself(activation):
    model = functional(layers.Activation(activation))
    output, signals = LogitsModel(model, None, role="student")(X)
    np.testing.assert_array_equal(signals["output"], output)
    np.testing.assert_array_equal(output, model(X))


@pytest.mark.parametrize("head", ["probabilities", 1, {"other": "softmax"}, {"output": "relu"}])
def test_head_must_be_known(head):
    with pytest.raises(ValueError, match="student_head must name the end of the student's outputs"):
        LogitsModel(dense(None)(), head, role="student")
