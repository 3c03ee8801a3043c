"""The signals inside of a model: what the layers give, in one pass, the model left as it was."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import taps
from keras_kd.networks.heads import LogitsModel


def tapped(model, *paths):
    """Returns a function of the input: output and signals by path."""
    logits = LogitsModel(model, None, "student").with_taps(paths)

    def call(x, training=None):
        output, found = logits(x, training=training)
        return output, {path: found[taps.signal_name(path)] for path in paths}

    return call


def same(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-6)


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


def test_known_sizes_reach_a_backbone_of_any_size():
    backbone = keras.applications.MobileNetV2(
        input_shape=(None, None, 3), alpha=0.35, include_top=False, weights=None, name="backbone"
    )
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, layers.GlobalAveragePooling2D()(backbone(images)))
    paths = ["backbone/Conv1_relu", "backbone"]
    logits = LogitsModel(model, None, "student").with_taps(paths)
    assert list(logits.signals.values()) == [(None, 16, 16, 16), (None, 1, 1, 1280)]


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
