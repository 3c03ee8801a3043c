"""Every way a graph can end, and the logits before its softmax or sigmoid."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd.networks.heads import LogitsModel

if keras.backend.backend() == "tensorflow":
    from tensorflow.nn import softmax as library_softmax
else:
    from jax.nn import softmax as library_softmax


X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


def softmax(z):
    return ops.softmax(z, axis=0)


def functional(end, shape=(6,), activation=None):
    inputs = keras.Input(shape)
    return keras.Model(inputs, end(layers.Dense(5, activation=activation)(inputs)))


def separate(end):
    return lambda: functional(end)


def dense(activation):
    def build():
        inputs = keras.Input((6,))
        return keras.Model(inputs, layers.Dense(5, activation=activation)(inputs))

    return build


def nested():
    head = keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="softmax")])
    backbone = functional(layers.Dense(6, activation="relu"))
    inputs = keras.Input((6,))
    return keras.Model(inputs, head(backbone(inputs)))


def twice_nested():
    inner = nested()
    inputs = keras.Input((6,))
    return keras.Model(inputs, inner(inputs))


def then(layer):
    def build():
        inputs = keras.Input((6,))
        return keras.Model(inputs, layer(layers.Dense(5, activation="softmax")(inputs)))

    return build


def on_maps(*end, activation=None):
    """A 1x1 convolution to 5 classes at a quarter of the resolution, then `end`."""

    def build():
        x = images = keras.Input((8, 8, 3))
        for layer in (layers.Conv2D(4, 3, strides=4), layers.Conv2D(5, 1, activation=activation)):
            x = layer(x)
        for layer in end:
            x = layer(x)
        return keras.Model(images, x)

    return build


@pytest.mark.parametrize(
    "end",
    [
        [layers.UpSampling2D(4)],
        [layers.Cropping2D(0), layers.Permute((2, 1, 3))],
        [lambda p: ops.cast(p, "float32")],
    ],
    ids=["nearest", "permuted", "cast"],
)
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_what_keeps_probabilities(kind, end):
    model = on_maps(*end, activation=kind)()
    calls = [len(operation._inbound_nodes) for operation in model.operations]
    logits = LogitsModel(model, None, role="student")
    assert logits.heads["output"].kind == kind
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    output, found = logits(x)
    np.testing.assert_allclose(output, model(x), rtol=1e-6)
    np.testing.assert_allclose(getattr(ops, kind)(found["output"]), output, rtol=1e-5)
    assert [len(operation._inbound_nodes) for operation in model.operations] == calls


ENDS = {
    "dense linear": (dense(None), "logits"),
    "dense log softmax": (dense("log_softmax"), "logits"),
    "dense softmax": (dense("softmax"), "softmax"),
    "dense softmax of the library": (dense(library_softmax), "softmax"),
    "dense softmax layer": (dense(layers.Softmax()), "softmax"),
    "dense sigmoid": (dense("sigmoid"), "sigmoid"),
    "dense relu": (dense("relu"), None),
    "softmax layer": (separate(lambda z: layers.Softmax()(z)), "softmax"),
    "softmax layer, other axis": (
        lambda: functional(layers.Softmax(axis=1), shape=(3, 6)),
        None,
    ),
    "activation softmax": (separate(lambda z: layers.Activation("softmax")(z)), "softmax"),
    "activation sigmoid": (separate(lambda z: layers.Activation("sigmoid")(z)), "sigmoid"),
    "activation linear": (separate(lambda z: layers.Activation("linear")(z)), "logits"),
    "activation log softmax": (separate(lambda z: layers.Activation("log_softmax")(z)), "logits"),
    "softmax, activation log softmax": (then(layers.Activation("log_softmax")), "logits"),
    "ops.softmax": (separate(ops.softmax), "softmax"),
    "ops.sigmoid": (separate(ops.sigmoid), "sigmoid"),
    "ops.log_softmax": (separate(ops.log_softmax), "logits"),
    "ops.tanh": (separate(ops.tanh), None),
    "softmax cast to float32": (then(layers.Activation("linear", dtype="float32")), "softmax"),
    "softmax, identity": (then(layers.Identity()), "softmax"),
    "nested": (nested, "softmax"),
    "twice nested": (twice_nested, "softmax"),
    "dense relu, linear activation": (
        lambda: functional(layers.Activation("linear"), activation="relu"),
        None,
    ),
    "softmax, custom layer, linear activation": (
        then(lambda z: layers.Activation("linear")(layers.Lambda(lambda v: v)(z))),
        None,
    ),
    "softmax, reshape, cast": (
        then(lambda z: layers.Activation("linear", dtype="float32")(layers.Reshape((5,))(z))),
        "softmax",
    ),
    "linear, reshape": (separate(layers.Reshape((5,))), "logits"),
    "a softmax of the user's own": (separate(layers.Activation(softmax)), None),
    "lambda": (separate(lambda z: layers.Lambda(lambda v: v)(z)), None),
}


@pytest.mark.parametrize("end", ENDS)
def test_recognises_the_end(end):
    build, kind = ENDS[end]
    heads = LogitsModel(build(), None, role="student").heads
    assert {name: head.kind for name, head in heads.items()} == {"output": kind}
    assert heads["output"].classes == 5


@pytest.mark.parametrize("end", [end for end, (_, kind) in ENDS.items() if kind])
def test_logits_give_the_output_back(end):
    build, kind = ENDS[end]
    model = build()
    output, logits = LogitsModel(model, None, role="student")(X)
    np.testing.assert_array_equal(output, model(X))
    activation = {"logits": lambda z: z, "softmax": ops.softmax, "sigmoid": ops.sigmoid}[kind]
    np.testing.assert_allclose(activation(logits["output"]), output, rtol=1e-6)


def test_logits_are_taken_before_the_softmax_not_through_a_logarithm():
    model = dense("softmax")()
    model.layers[-1].kernel.assign(200 * np.eye(6, 5, dtype="float32"))
    x = np.eye(6, dtype="float32")[:2]
    output, logits = LogitsModel(model, None, role="student")(x)
    assert np.asarray(output)[0, 1] == 0.0  # a logarithm could not tell
    np.testing.assert_array_equal(logits["output"], x @ model.layers[-1].kernel)


def test_convolutions_and_time_steps():
    image = keras.Input((4, 4, 3))
    segmenter = keras.Model(image, layers.Conv2D(5, 1, activation="softmax")(image))
    text = keras.Input((7, 3))
    per_step = layers.Dense(5, activation="softmax")
    tagger = keras.Model(text, layers.TimeDistributed(per_step)(text))
    for model in (segmenter, tagger):
        x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
        output, logits = LogitsModel(model, None, role="student")(x)
        np.testing.assert_allclose(output, model(x), rtol=1e-6)
        np.testing.assert_allclose(ops.softmax(logits["output"]), output, rtol=1e-6)
        assert np.asarray(logits["output"]).min() < 0  # no probabilities


@pytest.mark.parametrize("end", ["nested", "dense softmax", "softmax, reshape, cast"])
def test_the_model_is_not_changed(end):
    model = ENDS[end][0]()
    config, nodes = model.get_config(), [len(layer._inbound_nodes) for layer in model.layers]
    LogitsModel(model, None, role="student")(X)
    assert model.get_config() == config
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes


def test_batch_norm_moves_once_and_the_weights_are_shared():
    inputs = keras.Input((6,))
    hidden = layers.BatchNormalization(momentum=0.5)(inputs)
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(hidden))
    LogitsModel(model, None, role="student")(X, training=True)
    np.testing.assert_allclose(model.layers[1].moving_mean, 0.5 * X.mean(0), atol=1e-6)


def two_softmaxes():
    inputs = keras.Input((6,))
    hidden = layers.BatchNormalization(momentum=0.5)(inputs)
    p, q = (layers.Dense(n, activation="softmax", name=f"p{n}")(hidden) for n in (2, 3))
    return keras.Model(inputs, [p, q], name="inner")


def test_outputs_share_what_is_rebuilt():
    inputs = keras.Input((6,))
    p = layers.Dense(3, activation="softmax", name="p")(inputs)
    used_twice = keras.Model(inputs, {"p": p, "q": layers.Dense(2)(p)})
    other = keras.Input((6,))
    shared = layers.Dense(3, activation="softmax", name="shared")
    called_twice = keras.Model([inputs, other], [shared(inputs), shared(other)])
    same_twice = keras.Model(inputs, [p, p])
    for model, x in ((used_twice, X), (called_twice, [X, -X]), (same_twice, X)):
        output, logits = LogitsModel(model, None, role="student")(x)
        keras.tree.map_structure(np.testing.assert_array_equal, output, model(x))
        first = next(iter(logits.values()))
        np.testing.assert_allclose(ops.softmax(first), keras.tree.flatten(output)[0], rtol=1e-6)


def test_a_nested_model_of_two_softmaxes_runs_once():
    inner = two_softmaxes()
    inputs = keras.Input((6,))
    model = keras.Model(inputs, inner(inputs))
    output, logits = LogitsModel(model, None, role="student")(X, training=True)
    for z, p in zip(logits.values(), output):
        np.testing.assert_allclose(ops.softmax(z), p, rtol=1e-6)
    np.testing.assert_allclose(inner.layers[1].moving_mean, 0.5 * X.mean(0), atol=1e-6)


def test_a_nested_model_that_is_called_twice():
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(3, activation="softmax")])
    a, b = keras.Input((6,)), keras.Input((6,))
    model = keras.Model([a, b], [inner(a), inner(b)])
    output, logits = LogitsModel(model, None, role="student")([X, -X])
    for z, p, x in zip(logits.values(), output, (X, -X)):
        np.testing.assert_allclose(ops.softmax(z), inner(x), rtol=1e-6)
        np.testing.assert_array_equal(p, inner(x))


def test_a_nested_model_that_would_run_twice_is_refused():
    inputs = keras.Input((6,))
    p, q = two_softmaxes()(inputs)
    model = keras.Model(inputs, [p, layers.Dense(2)(q)])
    with pytest.raises(ValueError, match="nested model 'inner' must not end in a softmax"):
        LogitsModel(model, None, role="student")


def test_channels_first_convolutions_have_no_known_head():
    inputs = keras.Input((3, 4, 4))
    output = layers.Conv2D(5, 1, data_format="channels_first")(inputs)
    assert LogitsModel(keras.Model(inputs, output), None, "student").heads["output"].kind is None


def test_a_functional_subclass_with_its_own_call_is_not_read_from_its_graph():
    class Scaled(keras.Model):
        def call(self, x):
            return 2 * super().call(x)

    inputs = keras.Input((6,))
    model = Scaled(inputs, layers.Dense(5)(inputs))
    assert LogitsModel(model, None, role="student").heads["output"].kind is None


def test_a_regularized_activation_is_refused():
    inputs = keras.Input((6,))
    output = layers.Dense(5, activation="softmax", activity_regularizer="l2")(inputs)
    with pytest.raises(ValueError, match="must have no activity regularizer"):
        LogitsModel(keras.Model(inputs, output), None, role="student")
