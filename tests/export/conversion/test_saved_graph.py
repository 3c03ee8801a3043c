"""What is read and mended in the graph of a SavedModel changes no number."""

import numpy as np
import pytest

from keras_kd.export.conversion import saved_graph

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def saved(tmp_path):
    """Returns `f(function)`: saves it as the signature `serve`."""
    import tensorflow as tf

    def save(function):
        module = tf.Module()
        module.serve = tf.function(function, [tf.TensorSpec((3, 4), name="x")])
        tf.saved_model.save(module, str(tmp_path), {"serve": module.serve})
        return tmp_path

    return save


def run(folder, x):
    import tensorflow as tf

    return tf.saved_model.load(str(folder)).signatures["serve"](x=tf.constant(x))["y"].numpy()


def nodes(folder):
    return [node.op for part in saved_graph._functions(saved_graph._read(folder)) for node in part]


X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def test_operators_are_placed_by_layer(saved):
    import tensorflow as tf

    def function(x):
        with tf.name_scope("block/odd"):
            return {"y": tf.math.erfinv(x)}

    folder = saved(function)
    assert saved_graph.places(folder, {"Erfinv", "Cos"}) == {"Erfinv": ["block/odd/erfinv"]}


def test_squared_differences_become_products(saved):
    import tensorflow as tf

    folder = saved(lambda x: {"y": tf.math.squared_difference(x, 2 * x[::-1])})
    before = run(folder, X)
    assert "SquaredDifference" in nodes(folder)
    saved_graph.split_squared_differences(folder)
    assert "SquaredDifference" not in nodes(folder)
    np.testing.assert_allclose(run(folder, X), before, rtol=1e-6)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_no_sign_bits_are_asked_for_before_an_argmax(saved, name):
    import keras

    folder = saved(lambda x: {"y": getattr(keras.ops, name)(x, axis=-1)})
    before = run(folder, X)
    saved_graph.without_negative_zeros(folder)
    np.testing.assert_array_equal(run(folder, X), before)
    np.testing.assert_array_equal(before, getattr(np, name)(X, -1))
    for part in saved_graph._functions(saved_graph._read(folder)):
        by_name = {node.name: node for node in part}
        for node in part:
            if node.op.lower() == name:
                assert saved_graph._selected(node, by_name) == (None, None)


def test_a_selection_of_the_models_own_stays(saved):
    import tensorflow as tf

    folder = saved(lambda x: {"y": tf.argmax(tf.where(x > 0, -x, x), -1)})
    before = run(folder, X)
    saved_graph.without_negative_zeros(folder)
    np.testing.assert_array_equal(run(folder, X), before)
