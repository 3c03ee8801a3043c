"""The signals of a model, beside its outputs, in one pass."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import taps
from keras_kd.networks.heads import LogitsModel
from tests.networks.tapped import same, tapped


def block(name, filters=4):
    return keras.Sequential(
        [
            keras.Input((8, 8, filters if name != "first" else 3)),
            layers.Conv2D(filters, 3, padding="same", name="conv"),
            layers.BatchNormalization(momentum=0.5, name="norm"),
            layers.ReLU(name="relu"),
        ],
        name=name,
    )


def test_signals_are_what_the_layers_give(nested, x):
    paths = ["backbone/first/relu", "backbone/second/conv", "backbone/second", "backbone", "sort"]
    output, found = tapped(nested, *paths)(x)
    backbone = nested.get_layer("backbone")
    first, second = backbone.get_layer("first"), backbone.get_layer("second")
    same(output, nested(x))
    same(found["sort"], nested(x))
    same(found["backbone"], backbone(x))
    same(found["backbone/first/relu"], first(x))
    same(found["backbone/second"], second(first(x)))
    same(found["backbone/second/conv"], second.get_layer("conv")(first(x)))


def test_the_same_layers_run_once_in_one_pass(nested, x):
    norm = nested.get_layer("backbone").get_layer("second").get_layer("norm")
    norm.moving_mean.assign(np.ones(4))
    inputs = nested.get_layer("backbone").get_layer("first")(x, training=True)
    mean = np.mean(norm_input(nested, inputs), axis=(0, 1, 2))
    call = tapped(nested, "backbone/second/relu", "backbone/first", "pool")
    call(x, training=True)
    same(norm.moving_mean, 0.5 + 0.5 * mean)


def norm_input(model, inputs):
    return np.asarray(model.get_layer("backbone").get_layer("second").get_layer("conv")(inputs))


def test_the_model_is_left_as_it_was(nested, x):
    logits = LogitsModel(nested, None, "student")

    def calls():
        backbone = nested.get_layer("backbone")
        parts = [nested, backbone, backbone.get_layer("second")._functional]
        operations = [operation for part in parts for operation in part.operations]
        return [(len(o._inbound_nodes), len(o._outbound_nodes)) for o in operations]

    before, config, weights = calls(), nested.get_config(), nested.get_weights()
    logits.with_taps(["backbone/second/relu", "sort"])(x)
    assert calls() == before
    assert nested.get_config() == config
    for a, b in zip(weights, nested.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_activity_regularizers_count_once(x):
    images = keras.Input((8, 8, 3))
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 1, activity_regularizer="l2", name="conv")],
        name="inner",
    )
    model = keras.Model(images, layers.Dense(3)(layers.Flatten()(inner(images))))
    model(x)
    expected = [float(loss) for loss in model.losses]
    inner._clear_losses()
    _, found = tapped(model, "inner/conv", "inner")(x)
    assert [float(loss) for loss in model.losses] == pytest.approx(expected)
    same(found["inner"], found["inner/conv"])


def test_frozen_and_changed_layers_stay_so(nested, x):
    call = tapped(nested, "backbone/second/relu")
    norm = nested.get_layer("backbone").get_layer("second").get_layer("norm")
    norm.trainable = False
    before = np.asarray(norm.moving_mean)
    call(x, training=True)
    same(norm.moving_mean, before)


def test_each_call_of_a_shared_layer(x):
    images = keras.Input((8, 8, 3))
    shared = layers.Conv2D(3, 1, name="shared")
    model = keras.Model(images, layers.Flatten(name="flat")(shared(shared(images))))
    shared(keras.Input((4, 4, 3)))  # in no model
    _, found = tapped(model, "shared:0", "shared:1", "flat:0")(x)
    same(found["shared:0"], shared(x))
    same(found["shared:1"], shared(shared(x)))
    with pytest.raises(ValueError, match=r"which call.*'shared:0', 'shared:1'"):
        taps.find(model, "shared", "student")
    with pytest.raises(ValueError, match="the path of a layer"):
        taps.find(model, "shared:2", "student")


def test_each_call_of_a_nested_model(x):
    images = keras.Input((8, 8, 3))
    twin = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(3, 1, name="conv"), layers.ReLU(name="relu")],
        name="twin",
    )
    model = keras.Model(images, layers.Flatten()(twin(twin(images))))
    _, found = tapped(model, "twin:1/conv", "twin:0/relu")(x)
    same(found["twin:1/conv"], twin.get_layer("conv")(twin(x)))
    same(found["twin:0/relu"], twin(x))


def test_functions_between_layers(x):
    images = keras.Input((8, 8, 3))
    doubled = keras.ops.multiply(images, 2.0)
    model = keras.Model(images, layers.Dense(3)(layers.Flatten()(doubled)))
    name = next(o.name for o in model.operations if "multiply" in o.name)
    same(tapped(model, name)(x)[1][name], 2 * x)


def test_a_sequential_model(x):
    model = block("first")
    same(tapped(model, "conv")(x)[1]["conv"], model.layers[0](x))


def test_names_that_look_like_those_of_repeated_calls():
    shared, after = layers.Dense(4, name="dense"), layers.Dense(4, name="dense_1")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="b")], name="a")
    inputs = keras.Input((4,))
    hidden = after(shared(shared(inner(inputs))))
    model = keras.Model(inputs, layers.Dense(2, name="a__b")(hidden))
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    output, found = tapped(model, "dense:1", "dense_1", "a/b")(x)
    same(output, model(x))
    same(found["dense:1"], shared(shared(inner(x))))
    same(found["dense_1"], after(shared(shared(inner(x)))))


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "DenseNet121"])
def test_applications(name):
    application = getattr(keras.applications, name)
    backbone = application(input_shape=(32, 32, 3), include_top=False, weights=None)
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, layers.GlobalAveragePooling2D()(backbone(images)))
    middle = [layer.name for layer in backbone.layers][len(backbone.layers) // 2]
    path = f"{backbone.name}/{middle}"
    logits = LogitsModel(model, None, "teacher").with_taps([path])
    inside = backbone.get_layer(middle).output
    assert logits.signals == {f"layer:{path}": tuple(inside.shape)}


def test_a_step_of_an_application_is_that_of_the_plain_model():
    """Also where the model says `training=False`, which Keras overrides."""

    def backbone():
        return keras.applications.MobileNetV2(
            (32, 32, 3), alpha=0.35, include_top=False, weights=None, name="backbone"
        )

    tapped_one, plain = backbone(), backbone()
    plain.set_weights(tapped_one.get_weights())
    images = keras.Input((32, 32, 3))
    pooled = layers.GlobalAveragePooling2D()(tapped_one(images, training=False))
    names = ["block_3_expand_relu", "block_5_add", "Conv_1"]
    x = np.random.default_rng(0).normal(size=(16, 32, 32, 3)).astype("float32")
    call = tapped(keras.Model(images, pooled), *(f"backbone/{name}" for name in names))
    output, found = call(x, training=True)
    inside = [plain.get_layer(name).output for name in names]
    *expected, last = keras.Model(plain.input, [*inside, plain.output])(x, training=True)
    np.testing.assert_allclose(output, np.mean(last, axis=(1, 2)), rtol=1e-4, atol=1e-5)
    for name, value in zip(names, expected):
        np.testing.assert_allclose(found[f"backbone/{name}"], value, rtol=1e-4, atol=1e-5)
    for a, b in zip(tapped_one.weights, plain.weights):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7, err_msg=a.path)
    assert np.any(plain.get_layer("bn_Conv1").moving_mean)
