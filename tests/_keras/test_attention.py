"""Each private name of Keras still does what we take it for."""

import keras
import numpy as np
import pytest

from keras_kd import _keras


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
    given = node.args, node.kwargs
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
    assert _keras.projection_shapes(node.operation, *node.args, {}) == {}
