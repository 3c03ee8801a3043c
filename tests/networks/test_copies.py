"""Copies of layers compute with the functions that the layers were given."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd.networks.copies import made_again


def relu(x):
    return ops.maximum(x, 0.2 * x)


def leaky(x):
    return ops.maximum(x, 0.3 * x)


class Twice:
    """An object that can be called, of a class that Keras does not know."""

    def __call__(self, x):
        return 2 * ops.abs(x)


class Sparse(keras.regularizers.Regularizer):
    def __call__(self, x):
        return 0.5 * ops.sum(ops.abs(x))


class NonPositive(keras.constraints.Constraint):
    def __call__(self, w):
        return ops.minimum(w, 0.0)


def copy_of(layer, x):
    layer(x)
    again = made_again(layer)
    again(x)
    again.set_weights(layer.get_weights())
    return again


FUNCTIONS = {
    "of Keras' name": relu,
    "unregistered": leaky,
    "lambda": lambda x: x + 1,
    "partial": functools.partial(ops.leaky_relu, negative_slope=0.4),
    "object": Twice(),
    "method": Twice().__call__,
}
ROWS = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
SEQUENCES = np.random.default_rng(0).normal(size=(4, 5, 6)).astype("float32")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    layer = layers.Dense(8, activation=FUNCTIONS[name])
    again = copy_of(layer, ROWS)
    assert again.activation is layer.activation is FUNCTIONS[name]
    np.testing.assert_allclose(again(ROWS), layer(ROWS))


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.TimeDistributed(layers.Dense(4, activation=relu)),
        lambda: layers.TimeDistributed(layers.Lambda(lambda x: x * 3)),
        lambda: layers.TimeDistributed(
            keras.Sequential([keras.Input((6,)), layers.Dense(4, activation=relu)])
        ),
        lambda: layers.LSTM(3, activation=leaky, recurrent_activation=relu),
        lambda: layers.Bidirectional(layers.GRU(3, activation=relu)),
        lambda: layers.RNN([layers.SimpleRNNCell(3, activation=relu), layers.LSTMCell(2, leaky)]),
    ],
    ids=["dense", "lambda", "model", "lstm", "bidirectional", "cells"],
)
def test_functions_in_layers_within(make):
    layer = make()
    again = copy_of(layer, SEQUENCES)
    np.testing.assert_allclose(again(SEQUENCES), layer(SEQUENCES), atol=1e-6)


def test_two_functions_of_one_name():
    def scaled(factor):
        def act(x):
            return factor * x

        return act

    layer = layers.LSTM(3, activation=scaled(0.5), recurrent_activation=scaled(0.1))
    again = copy_of(layer, SEQUENCES)
    np.testing.assert_allclose(again(SEQUENCES), layer(SEQUENCES), atol=1e-6)


def test_regularizers_and_constraints():
    layer = layers.Dense(3, kernel_regularizer=Sparse(), kernel_constraint=NonPositive())
    again = copy_of(layer, ROWS)
    np.testing.assert_allclose(again.losses[0], layer.losses[0])
    assert again.kernel.constraint is layer.kernel_constraint
    attention = layers.MultiHeadAttention(2, 3, kernel_regularizer=Sparse())
    attention(SEQUENCES, SEQUENCES)
    again = made_again(attention)
    again(SEQUENCES, SEQUENCES)
    again.set_weights(attention.get_weights())
    np.testing.assert_allclose(sum(again.losses), sum(attention.losses), rtol=1e-6)


class Own(layers.Layer):
    """A layer that makes functions of its own parts, and asks the given one for its name."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = keras.activations.get(function)
        self.scaled = lambda x: x * self.scale
        self.method = self.squared

    def build(self, shape):
        self.scale = self.add_weight(name="scale")

    def squared(self, x):
        return x * self.scale

    def call(self, x):
        return self.function(self.method(self.scaled(x)))

    def get_config(self):
        return {**super().get_config(), "function": self.function.__name__.lower()}


def test_functions_of_own_parts_stay_with_the_copy():
    layer = Own(relu)
    again = copy_of(layer, ROWS)
    layer.scale.assign(2.0)
    again.scale.assign(3.0)
    assert again.function is relu
    np.testing.assert_allclose(again(-ROWS), relu(-9 * ROWS), rtol=1e-6)
    # The class of the layer within a wrapper is not registered.
    wrapper = layers.TimeDistributed(Own(relu))
    again = copy_of(wrapper, SEQUENCES)
    np.testing.assert_allclose(again(SEQUENCES), wrapper(SEQUENCES))


def test_the_layer_stays_as_it_is():
    layer = layers.Dense(8, activation=leaky, name="dense")
    again = made_again(layer, lambda config: {**config, "units": 4}, name="other")
    assert (again.units, again.name, layer.units, layer.activation) == (4, "other", 8, leaky)

    class Stubborn(layers.Dense):
        def __init__(self, needed):
            super().__init__(3, activation=relu)

    stubborn = Stubborn(1)
    with pytest.raises(TypeError):
        made_again(stubborn)
    assert stubborn.activation is relu


class Mixer:
    """An object that can be called, and that holds a layer."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x):
        return self.layer(x)


@keras.saving.register_keras_serializable("tests")
class Made(layers.Layer):
    """Makes functions of a layer of its own, none of which may reach into a copy."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)
        self.mixer = Mixer(self.dense)

        def inner(x):
            return self.dense(x)

        self.outer = lambda x: inner(x)
        self.listed = functools.partial(lambda parts, x: parts[0](x), [self.dense])

    def call(self, x):
        return self.mixer(x) + self.outer(x) + self.listed(x)


def test_what_a_layer_makes_of_its_own_parts_is_not_shared():
    layer = Made()
    again = copy_of(layer, ROWS)
    again.set_weights([np.zeros_like(weight) for weight in again.get_weights()])
    assert abs(ops.convert_to_numpy(layer(ROWS))).max() > 0
    np.testing.assert_array_equal(again(ROWS), np.zeros((4, 3)))


class Drawn(keras.initializers.Initializer):
    """Draws on from where it was."""

    def __init__(self, seed=0):
        self.seed, self.draws = seed, np.random.default_rng(seed)

    def __call__(self, shape, dtype=None, **kwargs):
        return ops.convert_to_tensor(self.draws.normal(size=shape), dtype)

    def get_config(self):
        return {"seed": self.seed}


def test_copies_begin_with_the_same_weights():
    layer = layers.Dense(3, kernel_initializer=Drawn(5))
    twins = [made_again(layer) for _ in range(2)]
    for twin in twins:
        twin.build((None, 6))
    np.testing.assert_array_equal(twins[0].kernel, twins[1].kernel)
    assert twins[0].kernel_initializer is not layer.kernel_initializer
