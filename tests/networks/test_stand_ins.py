import keras
import pytest
from keras import layers

from keras_kd.networks.heads import LogitsModel
from keras_kd.networks.stand_ins import LikeIdentity, LikeItsLayer, seen_through


class Same(LikeIdentity):
    def call(self, inputs):
        return inputs


class Wrapped(LikeItsLayer):
    def call(self, inputs):
        return self.layer(inputs)


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_what_shows_a_head_looks_through_them(activation):
    inputs = keras.Input((6,))
    outputs = Same()(Wrapped(layers.Dense(5, activation=activation))(inputs))
    heads = LogitsModel(keras.Model(inputs, outputs), None, "teacher").heads
    assert heads["output"].kind == (activation or "logits")


def test_other_operations_are_themselves():
    dense = layers.Dense(3)
    assert seen_through(Wrapped(dense)) is dense
    assert seen_through(dense) is dense
