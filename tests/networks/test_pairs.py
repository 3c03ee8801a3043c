"""Suggested pairs of layers."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from keras_kd.networks.pairs import cka


def net(filters, blocks):
    x = images = keras.Input((16, 16, 3))
    for stage in range(2):
        for number in range(blocks):
            strides = 2 if number == 0 else 1
            x = layers.Conv2D(filters, 3, strides, padding="same")(x)
            x = layers.ReLU(name=f"relu_{stage}_{number}")(x)
    backbone = keras.Model(images, x, name="backbone")
    images = keras.Input((16, 16, 3))
    pooled = layers.GlobalAveragePooling2D(name="pool")(backbone(images))
    return keras.Model(images, layers.Dense(3)(pooled))


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(12, 16, 16, 3)).astype("float32")


def test_pairs_have_one_resolution_and_the_nearest_depth(x, capsys):
    teacher, student = net(8, 3), net(4, 1)
    pairs = keras_kd.suggest_pairs(teacher, student, x)
    assert [(pair.student, pair.teacher) for pair in pairs] == [
        ("backbone/relu_0_0", "backbone/relu_0_2"),
        ("backbone/relu_1_0", "backbone/relu_1_1"),
        ("pool", "pool"),
    ]
    assert pairs[0].teacher_shape == (None, 8, 8, 8)
    assert pairs[0].student_shape == (None, 8, 8, 4)
    assert [pair.depth for pair in pairs] == sorted(pair.depth for pair in pairs)
    assert all(0 <= pair.cka <= 1 for pair in pairs)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].split() == ["student", "shape", "teacher", "shape", "depth", "CKA"]
    term = keras_kd.Term(
        keras_kd.losses.Hint(), None, pairs[0].teacher, pairs[0].student, projector="auto"
    )
    keras_kd.Distiller(student=student, teacher=teacher, terms=[term])


def test_cka_is_1_for_rotated_and_scaled_features(x):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(12, 5))
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))

    def gram(features):
        features = features - features.mean(0)
        return features @ features.T

    assert cka(gram(rows), gram(3 * rows @ rotation + 1)) == pytest.approx(1)
    other = rng.normal(size=(12, 4))
    centred = [f - f.mean(0) for f in (rows, other)]
    expected = np.linalg.norm(centred[1].T @ centred[0]) ** 2 / (
        np.linalg.norm(centred[0].T @ centred[0]) * np.linalg.norm(centred[1].T @ centred[1])
    )
    assert cka(gram(rows), gram(other)) == pytest.approx(expected)


def test_a_model_is_like_itself(x, capsys):
    model = net(4, 2)
    pairs = keras_kd.suggest_pairs(model, model, x, print_fn=None)
    assert [pair.cka for pair in pairs] == pytest.approx([1] * 3)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("act", [layers.LeakyReLU, layers.PReLU, layers.ELU, layers.ReLU])
@pytest.mark.parametrize(
    "head",
    [
        lambda: [layers.Dense(3, activation="softmax")],
        lambda: [layers.Dense(3), layers.Softmax()],
        lambda: [layers.Dense(3), layers.Activation("softmax")],
        lambda: [layers.Dense(3), layers.Activation("linear")],
        lambda: [layers.Dense(3, activation="sigmoid")],
    ],
)
def test_features_end_before_the_head(x, act, head):
    def net(filters):
        conv = layers.Conv2D(filters, 3, strides=2)
        pool = layers.GlobalAveragePooling2D(name="pool")
        return keras.Sequential([keras.Input((16, 16, 3)), conv, act(name="act"), pool, *head()])

    pairs = keras_kd.suggest_pairs(net(8), net(4), x, print_fn=None)
    assert [(pair.student, pair.teacher) for pair in pairs] == [("act", "act"), ("pool", "pool")]


def test_wrong_uses(x):
    with pytest.raises(ValueError, match="batch must be the models' inputs alone"):
        keras_kd.suggest_pairs(net(4, 1), net(4, 1), (x, np.zeros(12)))
    with pytest.raises(ValueError, match="batch must have at least 4 examples"):
        keras_kd.suggest_pairs(net(4, 1), net(4, 1), x[:2])
    with pytest.raises(TypeError, match="teacher must be a Keras model"):
        keras_kd.suggest_pairs("teacher", net(4, 1), x)


class Encoder(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(units), layers.Dense(units)

    def call(self, x):
        return self.second(self.first(x))


def test_blocks_of_another_library_are_ends(x):
    def net(units):
        layer = Encoder(units, name="encoder")
        return keras.Sequential([keras.Input((16, 16, 3)), layer, layers.Flatten()])

    (pair,) = keras_kd.suggest_pairs(net(8), net(4), x, print_fn=None)
    assert (pair.student, pair.teacher) == ("encoder", "encoder")


def test_nothing_is_not_said_in_silence(x):
    def net():
        return keras.Sequential([keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(3)])

    with pytest.warns(UserWarning, match="no layer in the teacher's graph is known to end a block"):
        assert keras_kd.suggest_pairs(net(), net(), x, print_fn=None) == []


def test_ends_of_blocks_come_before_insides_and_gates(x):
    def net(filters):
        images = keras.Input((16, 16, 3))
        y = layers.Conv2D(filters, 3, padding="same", activation="relu", name="stem")(images)
        inside = layers.Conv2D(filters, 3, padding="same", activation="relu", name="inside")(y)
        gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(inside)
        gate = layers.Conv2D(filters, 1, activation="relu", name="gate")(gate)
        gate = layers.Conv2D(filters, 1, activation="hard_sigmoid", name="excite")(gate)
        y = layers.Add(name="add")([y, layers.Multiply()([inside, gate])])
        last = layers.Conv2D(filters, 3, padding="same", activation="relu", name="last")(y)
        return keras.Model(images, layers.Dense(3)(layers.Flatten()(last)))

    pairs = keras_kd.suggest_pairs(net(8), net(4), x, print_fn=None)
    assert {place for pair in pairs for place in (pair.student, pair.teacher)}.isdisjoint(
        {"stem", "inside", "gate", "excite"}
    )
    assert ("last", "last") in [(pair.student, pair.teacher) for pair in pairs]
