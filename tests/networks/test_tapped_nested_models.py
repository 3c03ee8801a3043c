"""What a nested model is given: masks, dtypes, structures and sizes."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.networks.heads import LogitsModel
from tests.networks.tapped import same, tapped


def test_inputs_of_another_dtype_in_nested_models():
    inner = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="conv")], name="inner"
    )
    images = keras.Input((8, 8, 1), dtype="uint8")
    model = keras.Model(images, layers.Flatten()(inner(images)))
    x = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 1)).astype("uint8")
    output, found = tapped(model, "inner/conv")(x)
    same(output, model(x))
    same(found["inner/conv"], inner(x.astype("float32")))


@pytest.mark.parametrize("kind", [dict, list])
def test_inputs_in_structures(kind):
    def pair():
        return {"b": keras.Input((3,), name="b"), "a": keras.Input((3,), name="a")}

    first = pair()
    inner = keras.Model(
        first if kind is dict else list(first.values()),
        layers.Dense(2, name="dense")(first["b"] - 2 * first["a"]),
        name="inner",
    )
    second = pair()
    given = second if kind is dict else list(second.values())
    model = keras.Model(given, layers.ReLU()(inner(given)))
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(2, 3)).astype("float32") for name in "ba"}
    x = x if kind is dict else list(x.values())
    output, found = tapped(model, "inner/dense")(x)
    same(output, model(x))
    same(found["inner/dense"], inner(x))


def masked_mean(units=4):
    tokens = keras.Input((5, 4))
    hidden = layers.Dense(units, name="dense")(tokens)
    return keras.Model(tokens, layers.GlobalAveragePooling1D(name="pool")(hidden), name="inner")


@pytest.mark.filterwarnings("ignore:[\\s\\S]*does not support masking")  # the plain model, too
def test_the_mask_that_a_nested_model_is_given():
    tokens, mask = keras.Input((5, 4)), keras.Input((5,), dtype="bool")
    model = keras.Model([tokens, mask], layers.Dense(2)(masked_mean()(tokens, mask=mask)))
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(8, 5, 4)).astype("float32"), rng.random((8, 5)) < 0.5]
    same(tapped(model, "inner/dense")(x)[0], model(x))
    assert not np.allclose(model(x), model([x[0], np.ones_like(x[1])]))


@pytest.mark.filterwarnings("ignore:[\\s\\S]*does not support masking")  # the plain model, too
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_mask_that_reaches_a_nested_model(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        tokens = keras.Input((5,), dtype="int32")
        embedded = layers.Embedding(9, 4, "random_normal", mask_zero=True)(tokens)
        model = keras.Model(tokens, layers.Dense(2, dtype="float32")(masked_mean()(embedded)))
    finally:
        keras.config.set_dtype_policy(before)
    x = np.random.default_rng(0).integers(0, 3, (6, 5))
    same(tapped(model, "inner/dense")(x)[0], model(x))


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_the_mask_of_what_a_nested_model_gives(role):
    tokens = keras.Input((5, 4))
    hidden = layers.Dense(4, name="dense")(keras.ops.multiply(tokens, 2.0))  # masks end here
    inner = keras.Model(tokens, keras.ops.multiply(hidden, 3.0), name="inner")
    inner.supports_masking = True
    tokens = keras.Input((5,), dtype="int32")
    embedded = layers.Embedding(9, 4, mask_zero=True)(tokens)
    model = keras.Model(tokens, inner(embedded))
    x = np.array([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]])
    logits = LogitsModel(model, None, role).with_taps(["inner/dense"])
    output, _ = logits(x)
    for each in (model(x), output):
        np.testing.assert_array_equal(each._keras_mask, x != 0)


def test_nested_models_round_nothing_of_their_own_accord():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        exact = layers.Identity(dtype="float32", name="exact")
        inner = keras.Sequential([keras.Input((1,)), exact], name="inner")
        inputs = keras.Input((1,))
        model = keras.Model(inputs, inner(inputs))
    finally:
        keras.config.set_dtype_policy(before)
    x = np.array([[1.001]], "float32")
    same(tapped(model, "inner/exact")(x)[0], model(x))


def test_a_dict_for_a_nested_model_of_a_list():
    first, second = keras.Input((3,), name="b"), keras.Input((3,), name="a")
    difference = layers.Dense(2, name="dense")(first - 2 * second)
    inner = keras.Model([first, second], difference, name="inner")
    given = {name: keras.Input((3,), name=name) for name in "ab"}
    model = keras.Model(given, layers.ReLU()(inner(given)))
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(4, 3)).astype("float32") for name in "ab"}
    same(tapped(model, "inner/dense")(x)[0], model(x))


@pytest.mark.parametrize(("given", "expected"), [((8,), (8, 1)), ((8, 1), (8,))])
def test_ranks_that_a_nested_model_adapts(given, expected):
    inputs = keras.Input(expected)
    inner = keras.Model(inputs, layers.Dense(4, name="dense")(inputs), name="inner")
    inputs = keras.Input(given)
    model = keras.Model(inputs, layers.ReLU()(inner(inputs)))
    x = np.random.default_rng(0).normal(size=(3, *given)).astype("float32")
    output, found = tapped(model, "inner/dense")(x)
    same(output, model(x))
    same(found["inner/dense"], inner(x))


def test_known_sizes_reach_a_backbone_of_any_size():
    backbone = keras.applications.MobileNetV2(
        input_shape=(None, None, 3), alpha=0.35, include_top=False, weights=None, name="backbone"
    )
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, layers.GlobalAveragePooling2D()(backbone(images)))
    paths = ["backbone/Conv1_relu", "backbone"]
    logits = LogitsModel(model, None, "student").with_taps(paths)
    assert list(logits.signals.values()) == [(None, 16, 16, 16), (None, 1, 1, 1280)]
