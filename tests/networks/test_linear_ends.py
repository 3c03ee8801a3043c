"""After which layers and operations logits are still logits."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd.networks.heads import LogitsModel


def functional(end, shape=(6,), activation=None):
    inputs = keras.Input(shape)
    return keras.Model(inputs, end(layers.Dense(5, activation=activation)(inputs)))


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


def sum_of_two(end):
    def build():
        images = keras.Input((8, 8, 3))
        first, second = (layers.Conv2D(5, 1)(images) for _ in range(2))
        return keras.Model(images, end(first, second))

    return build


def tied(embedding):
    tokens = keras.Input((8,), dtype="int32")
    embedding = embedding(5, 6)
    hidden = layers.LayerNormalization()(embedding(tokens))
    return keras.Model(tokens, embedding(hidden, reverse=True))


def mixture(of_layers):
    """A softmax gate over two experts, each of which gives probabilities, or logits."""
    inputs = keras.Input((6,))
    gate = layers.Dense(2, activation="softmax")(inputs)
    experts = ops.stack([of_layers(inputs) for _ in range(2)], axis=1)
    return keras.Model(inputs, ops.einsum("be,bec->bc", gate, experts))


LINEAR = {
    "resizing": on_maps(layers.Resizing(8, 8)),
    "upsampling": on_maps(layers.UpSampling2D(4, interpolation="bilinear")),
    "transposed": on_maps(layers.Conv2DTranspose(5, 4, strides=4)),
    "cropping, padding": on_maps(layers.Cropping2D(((1, 0), (0, 0))), layers.ZeroPadding2D(2)),
    "pooled": on_maps(layers.AveragePooling2D(2)),
    "global": on_maps(layers.GlobalAveragePooling2D()),
    "permute": on_maps(layers.Permute((2, 1, 3))),
    "rescaled": on_maps(layers.Rescaling(0.5)),
    "resizing, reshape, cast": on_maps(
        layers.Resizing(8, 8), layers.Reshape((64, 5)), layers.Activation("linear", dtype="float32")
    ),
    "operations": on_maps(
        lambda z: ops.image.resize(z, (8, 8)),
        lambda z: ops.reshape(z, (-1, 64, 5)) / 2.0 + 1.0,
        lambda z: ops.cast(ops.mean(ops.transpose(z, (0, 1, 2)), axis=1), "float32"),
    ),
    "matmul": lambda: functional(lambda z: ops.matmul(z, np.ones((5, 5), "float32"))),
    "einsum": lambda: functional(lambda z: ops.einsum("bc,cd->bd", z, np.ones((5, 5)))),
    "a sum": sum_of_two(lambda a, b: layers.Add()([a, b])),
    "a sum of functions": sum_of_two(lambda a, b: a + b),
    "a mean": sum_of_two(lambda a, b: layers.Average()([a, b])),
}


NOT_LINEAR = {
    "a product": sum_of_two(lambda a, b: a * b),
    "a quotient": lambda: functional(lambda z: 1.0 / z),
    "classes moved": lambda: functional(layers.Permute((2, 1)), shape=(5, 6)),
    "classes transposed": lambda: functional(lambda z: ops.transpose(z, (0, 2, 1)), shape=(5, 6)),
    "a relu, resizing": on_maps(layers.ReLU(), layers.Resizing(8, 8)),
    "a softmax, bilinear": on_maps(layers.Softmax(), layers.Resizing(8, 8)),
    "a mixture of softmaxes": lambda: mixture(lambda z: layers.Dense(5, activation="softmax")(z)),
    "a mixture of logits": lambda: mixture(layers.Dense(5)),
    "a gate": lambda: functional(
        lambda z: ops.matmul(ops.softmax(z) * 2.0, np.ones((5, 5), "float32"))
    ),
    "a residual": sum_of_two(lambda a, b: a + layers.ReLU()(b)),
    "a mean of classes": on_maps(lambda z: ops.mean(z, axis=(1, 2, 3), keepdims=True)),
}


@pytest.mark.parametrize("end", LINEAR)
def test_what_keeps_logits(end):
    model = LINEAR[end]()
    logits = LogitsModel(model, None, role="student")
    assert logits.heads["output"].kind == "logits"
    x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    output, found = logits(x)
    np.testing.assert_array_equal(output, model(x))
    np.testing.assert_array_equal(found["output"], output)


@pytest.mark.parametrize("end", NOT_LINEAR)
def test_what_keeps_no_logits(end):
    assert LogitsModel(NOT_LINEAR[end](), None, "student").heads["output"].kind is None


@pytest.mark.skipif(not hasattr(layers, "ReversibleEmbedding"), reason="needs a newer Keras")
def test_tied_embeddings():
    model = tied(layers.ReversibleEmbedding)
    assert LogitsModel(model, None, "student").heads["output"].kind == "logits"
    found = LogitsModel(model, None, "student").with_taps([model.layers[2].name])
    x = np.random.default_rng(0).integers(0, 5, (2, 8))
    output, logits = found(x)
    np.testing.assert_allclose(output, model(x), rtol=1e-6)
    np.testing.assert_array_equal(logits["output"], output)
