"""What a model calls its inputs and outputs, and a batch in the structure that it takes."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.networks.ports import (
    Inputs,
    is_automatic,
    output_names,
    ports,
    same_but_for_ones,
)


@pytest.fixture
def two():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    return keras.Model({"b": b, "a": a}, layers.Concatenate()([a, b]))


def test_ports_have_the_keys_or_the_names_of_layers():
    x = keras.Input((6,), name="pixels")
    hidden = layers.Dense(4)(x)
    named, numbered = layers.Dense(3, name="classes")(hidden), layers.Dense(2)(hidden)
    first, second = ports([named, numbered])
    assert (first.name, first.given, first.shape) == ("classes", True, (None, 3))
    assert not second.given
    (keyed,) = ports({"k": numbered})
    assert (keyed.name, keyed.given, str(keyed)) == ("k", True, "'k' (None, 2)")


@pytest.mark.parametrize(
    ("name", "automatic"),
    [("dense_3", True), ("input_layer", True), ("keras_tensor_12", True), ("classes", False)],
)
def test_names_that_keras_gives(name, automatic):
    assert is_automatic(name) is automatic


def test_names_of_outputs_that_no_dict_names(two):
    assert output_names(two, 1, "output") == ["output"]
    x = keras.Input((4,))
    several = keras.Model(x, [layers.Dense(2, name="p")(x), layers.Dense(2, name="q")(x)])
    assert output_names(several, 2, "output") == ["p", "q"]
    shared = layers.Dense(4, name="p")
    twice = keras.Model(x, [shared(x), shared(shared(x))])
    assert output_names(twice, 2, "output") == ["output_0", "output_1"]


def test_a_last_axis_of_1_comes_and_goes():
    assert same_but_for_ones((None, 28, 28), (None, 28, 28, 1))
    assert not same_but_for_ones((None, 28, 28), (None, 28, 28, 3))


def test_a_batch_may_come_in_any_container(two):
    inputs = Inputs(two)
    a, b = np.zeros((2, 4)), np.ones((2, 3))
    for x in ({"b": b, "a": a, "more": b}, [a, b], (a, b)):
        fed = inputs.fed(x)
        assert fed["a"] is a
        assert fed["b"] is b


@pytest.mark.parametrize("x", [{"a": 1, "c": 2}, [1], [1, 2, 3]])
def test_a_batch_of_other_inputs_is_refused(two, x):
    with pytest.raises(ValueError, match=r"A batch must have the inputs of .*\['a', 'b'\]"):
        Inputs(two).leaves(x)
