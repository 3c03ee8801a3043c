"""Where a student's tensors are rounded."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from keras_kd import compression

pytestmark = pytest.mark.usefixtures("rounding")


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_heads_are_found(data, activation):
    x, _ = data
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation=activation)])
    student = compression.quantize_aware(model)
    distiller = keras_kd.Distiller(student=student, teacher=model)
    distiller.compile("sgd", None)
    assert np.isfinite(distiller.fit(x, verbose=0).history["loss"][0])
    assert type(compression.finish(student).layers[-1]) is layers.Dense
    assert compression.finish(student).layers[-1].activation.__name__ == activation


def test_first_and_last_and_skip(graph):
    def bits(student):
        found = {}
        for layer in student.layers:
            for transform in getattr(layer, "transforms", []):
                found[layer.layer.name] = transform.bits
        return found

    student = compression.quantize_aware(graph, bits=4, first_and_last=8)
    assert bits(student) == {"conv": 8, "dense": 4, "logits": 8}
    student = compression.quantize_aware(graph, bits=4, skip=["dense"])
    assert bits(student) == {"conv": 4, "logits": 4}
