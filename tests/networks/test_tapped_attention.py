"""The signals inside of attention: query, key and value."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.networks.heads import LogitsModel
from tests.networks.tapped import same, tapped


class TestAttention:
    @pytest.fixture(params=["MultiHeadAttention", "GroupQueryAttention"])
    def model(self, request):
        tokens = keras.Input((5,), dtype="int32")
        embedded = layers.Embedding(9, 4, mask_zero=True, name="embedding")(tokens)
        kind = getattr(layers, request.param)
        sizes = (2, 3) if request.param == "MultiHeadAttention" else (3, 2, 1)
        attended = kind(*sizes, name="att")(embedded, embedded)
        inner = keras.Model(tokens, attended, name="encoder")
        tokens = keras.Input((5,), dtype="int32")
        return keras.Model(tokens, layers.Dense(3)(inner(tokens)))

    @pytest.mark.filterwarnings("ignore:[\\s\\S]*does not support masking")
    def test_query_key_and_value(self, model):
        x = np.array([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]])
        paths = [f"encoder/att:{part}" for part in ("query", "key", "value")]
        output, found = tapped(model, *paths, "encoder/att", "encoder/embedding")(x)
        same(output, model(x))
        encoder = model.get_layer("encoder")
        att, embedded = encoder.get_layer("att"), encoder.get_layer("embedding")(x)
        for part, path in zip(("query", "key", "value"), paths):
            same(found[path], getattr(att, f"_{part}_dense")(np.asarray(embedded)))
        del found["encoder/att"]  # not every kind of attention passes masks on
        for path, signal in found.items():
            np.testing.assert_array_equal(signal._keras_mask, x != 0, err_msg=path)

    def test_shapes(self, model):
        logits = LogitsModel(model, None, "student").with_taps(["encoder/att:query"])
        (shape,) = logits.signals.values()
        assert shape[:2] == (None, 5)
        assert None not in shape[2:]


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_known_sizes_reach_an_attention_layer(part):
    query, value = keras.Input((None, 4)), keras.Input((None, 6))
    attended = layers.MultiHeadAttention(2, 3, name="att")(query, value)
    inner = keras.Model([query, value], attended, name="encoder")
    pair = [keras.Input((7, 4)), keras.Input((9, 6))]
    model = keras.Model(pair, layers.Dense(3)(inner(pair)))
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(2, 7, 4)).astype("float32"), rng.normal(size=(2, 9, 6)).astype("float32")]
    path = f"encoder/att:{part}"
    logits = LogitsModel(model, None, "student").with_taps([path])
    ((name, shape),) = logits.signals.items()
    assert shape == (None, 7 if part == "query" else 9, 2, 3)
    output, signals = logits(x)
    same(output, model(x))
    projection = getattr(inner.get_layer("att"), f"_{part}_dense")
    same(signals[name], projection(x[0] if part == "query" else x[1]))
