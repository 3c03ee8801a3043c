"""Terms on sequences and maps: padding counts nowhere, weights may be given by position."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term
from keras_kd.losses import ChannelWise, Hint, SelfRelation
from tests.distiller.terms.convnets import CROSS_ENTROPY, mean_square

# Keras says so where nothing but layers in the middle learns.
pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist")


def encoder(width, heads=2):
    tokens = keras.Input((5,), dtype="int32")
    hidden = layers.Embedding(9, width, "random_normal", mask_zero=True, name="embedding")(tokens)
    hidden = layers.Rescaling(20.0, name="scaled")(hidden)
    attended = layers.MultiHeadAttention(heads, width // heads, name="att")(hidden, hidden)
    inner = keras.Model(tokens, layers.Dense(width, name="mixed")(attended), name="encoder")
    tokens = keras.Input((5,), dtype="int32")
    pooled = layers.GlobalAveragePooling1D()(inner(tokens))
    return keras.Model(tokens, layers.Dense(3)(pooled))


@pytest.fixture
def padded():
    rng = np.random.default_rng(0)
    x = rng.integers(1, 9, (8, 5))
    x[np.arange(5) >= rng.integers(1, 6, 8)[:, None]] = 0
    return x, rng.integers(0, 3, 8)


def inside(model, x, name):
    inner = model.get_layer("encoder")
    return np.asarray(keras.Model(inner.input, inner.get_layer(name).output)(x), "float64")


@pytest.mark.parametrize("path", ["scaled", "att", "mixed"])
def test_padding_counts_in_no_hint(padded, frozen, path):
    x, y = padded
    student, teacher = encoder(4), encoder(8)
    term = Term(Hint(), None, f"encoder/{path}", f"encoder/{path}", "auto")
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[term]), CROSS_ENTROPY)(x, y)
    kernel, bias = term.projector.get_weights()
    t, s = inside(teacher, x, path), inside(student, x, path) @ kernel + bias
    assert logs["hint"] == pytest.approx(mean_square(t[x != 0], s[x != 0]), rel=1e-4)


def test_weights_by_position(padded, frozen):
    x, _ = padded
    student, teacher = (
        keras.Sequential(
            [keras.Input((5, 4)), layers.Dense(4, name="dense"), layers.Dense(3, name="last")]
        )
        for _ in range(2)
    )
    term = Term(Hint(), None, "dense", "dense")
    x = np.random.default_rng(0).normal(size=(8, 5, 4)).astype("float32")
    weights = np.random.default_rng(1).uniform(size=(8, 5)).astype("float32")
    run = frozen(Distiller(student=student, teacher=teacher, terms=[term]), CROSS_ENTROPY)
    logs = run(x, np.zeros((8, 5), int), sample_weight=weights)
    t, s = (np.asarray(m.layers[0](x)) for m in (teacher, student))
    assert logs["hint"] == pytest.approx(mean_square(t, s, weights), rel=1e-5)


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_relations_of_tokens(padded, frozen, part):
    x, y = padded
    student, teacher = encoder(4), encoder(8, heads=4)
    path = f"encoder/att:{part}"
    term = Term(SelfRelation(relation_heads=2), teacher=path, student=path)
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[term]), CROSS_ENTROPY)(x, y)
    relations = []
    for model in (teacher, student):
        att = model.get_layer("encoder").get_layer("att")
        vectors = np.asarray(getattr(att, f"_{part}_dense")(inside(model, x, "scaled")), "float64")
        relations.append(vectors.reshape(8, 5, 2, -1).swapaxes(1, 2))
    expected = []
    for example, tokens in enumerate((x != 0).sum(1)):
        logs_of = []
        for vectors in relations:
            v = vectors[example, :, :tokens]
            r = v @ v.swapaxes(-1, -2) / np.sqrt(v.shape[-1])
            logs_of.append(r - np.log(np.exp(r).sum(-1, keepdims=True)))
        p, q = logs_of
        expected.append((np.exp(p) * (p - q)).sum(-1).mean())
    assert logs["self_relation"] == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_loss_that_does_not_know_masks_refuses_them(padded):
    class PerExample(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=(1, 2))

    x, _ = padded
    term = Term(PerExample(name="mine"), teacher="encoder/att", student="encoder/att")
    distiller = Distiller(student=encoder(4), teacher=encoder(4), terms=[term])
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="The student's mask must fit term 'mine'"):
        distiller.fit(x, verbose=0)


def test_a_projector_that_pools_sees_the_mask(padded, frozen):
    x, _ = padded
    student, teacher = encoder(4), encoder(4)
    term = Term(
        Hint(),
        teacher="global_average_pooling1d",
        student="encoder/att",
        projector=layers.GlobalAveragePooling1D(),
    )
    teacher.layers[-2].name = "global_average_pooling1d"
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[term]))(x)
    there = (x != 0)[..., None]
    t, s = (
        (inside(m, x, n) * there).sum(1) / there.sum(1)
        for m, n in ((teacher, "mixed"), (student, "att"))
    )
    assert logs["hint"] == pytest.approx(mean_square(t, s), rel=1e-4)


def test_dense_prediction(frozen):
    def segmenter(filters):
        images = keras.Input((8, 6, 3))
        hidden = layers.Conv2D(filters, 3, strides=2, padding="same", name="conv")(images)
        return keras.Model(images, layers.UpSampling2D(2)(layers.Conv2D(4, 1, name="map")(hidden)))

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 8, 6, 3)).astype("float32"), rng.integers(0, 4, (2, 8, 6))
    terms = [
        ChannelWise(),
        Term(ChannelWise(temperature=1.0), 50.0, "conv", "conv", "auto", name="inside"),
    ]
    distiller = Distiller(student=segmenter(3), teacher=segmenter(5), terms=terms)
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    t, s = (
        np.asarray(m(x), "float64").reshape(2, 48, 4) / 4
        for m in (distiller.teacher, distiller.student)
    )
    log_p, log_q = (z - np.log(np.exp(z).sum(1, keepdims=True)) for z in (t, s))
    expected = 16 * (np.exp(log_p) * (log_p - log_q)).sum(1).mean()
    assert logs["channel_wise"] == pytest.approx(expected, rel=1e-4)
    total = logs["hard_loss"] + 3 * logs["channel_wise"] + 50 * logs["inside"]
    assert logs["loss"] == pytest.approx(total, rel=1e-5)
