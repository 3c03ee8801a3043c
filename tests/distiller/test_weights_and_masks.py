"""Sample weights by output, and Keras' masks, reach the hard loss and every term."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term
from keras_kd.distiller.weights import like_outputs
from keras_kd.losses import NKD, WTTM, DecoupledKD, SoftTargets

pytestmark = pytest.mark.numbers

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
HARD = {"a": CROSS_ENTROPY, "b": CROSS_ENTROPY}
ACCURACY = {"a": ["sparse_categorical_accuracy"], "b": ["sparse_categorical_accuracy"]}


def dense(**kwargs):
    return layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(0, 3), **kwargs)


# Masks


def tagger(head=None):
    """A classifier of tokens, whose embedding masks the padding 0."""
    tokens = keras.Input((5,), dtype="int32")
    embedding = layers.Embedding(9, 4, "random_normal", mask_zero=True)
    hidden = layers.LSTM(6, return_sequences=True)(layers.Rescaling(50.0)(embedding(tokens)))
    return keras.Model(tokens, (head or dense())(hidden))


HEADS = {
    "logits": dense,
    "softmax": lambda: dense(activation="softmax"),
    "distributed": lambda: layers.TimeDistributed(dense(activation="softmax")),
    "activation": lambda: lambda hidden: layers.Activation("softmax")(dense()(hidden)),
    "float32": lambda: lambda hidden: layers.Activation("linear")(dense()(hidden)),
}


@pytest.fixture
def padded():
    rng = np.random.default_rng(0)
    x, y = rng.integers(1, 9, (8, 5)), rng.integers(0, 3, (8, 5))
    x[np.arange(5) >= rng.integers(1, 5, 8)[:, None]] = 0
    return x, y


def outputs_of(distiller, x):
    """Returns the teacher's and the student's outputs as arrays."""
    return [np.asarray(model(x)) for model in (distiller.teacher, distiller.student)]


@pytest.mark.parametrize("head", HEADS)
def test_padding_counts_in_no_term(padded, frozen, soft_targets, cross_entropy, head):
    x, y = padded
    distiller = Distiller(student=tagger(HEADS[head]()), teacher=tagger(HEADS[head]()))
    probabilities = head not in ("logits", "float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities)
    logs = frozen(distiller, loss)(x, y)
    t, s = (np.log(z) if probabilities else z for z in outputs_of(distiller, x))
    there = x != 0
    assert logs["soft_targets"] == pytest.approx(soft_targets(t, s, 4.0)[there].mean(), rel=1e-4)
    assert logs["hard_loss"] == pytest.approx(cross_entropy(y, s)[there].mean(), rel=1e-5)


def test_what_stands_in_the_padding_changes_nothing(padded, frozen):
    x, y = padded
    logs = []
    for garbage in (0, 2):
        keras.utils.set_random_seed(1)
        labels = np.where(x == 0, garbage, y)
        logs.append(frozen(Distiller(student=tagger(), teacher=tagger()), CROSS_ENTROPY)(x, labels))
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)


@pytest.mark.parametrize("shape", [(8,), (8, 5)])
def test_masks_and_weights_together(padded, frozen, soft_targets, cross_entropy, shape):
    x, y = padded
    weights = np.random.default_rng(1).uniform(size=shape).astype("float32")
    distiller = Distiller(student=tagger(), teacher=tagger())
    logs = frozen(distiller, CROSS_ENTROPY)(x, y, sample_weight=weights)
    t, s = outputs_of(distiller, x)
    there = (x != 0) * weights.reshape(8, -1)
    for name, values in (
        ("soft_targets", soft_targets(t, s, 4.0)),
        ("hard_loss", cross_entropy(y, s)),
    ):
        assert logs[name] == pytest.approx((there * values).sum() / (x != 0).sum(), rel=1e-4)


def test_masked_positions_teach_nothing(padded):
    x = padded[0].copy()
    x[:4, 1:] = 0  # half of the batch is nearly all padding
    distiller = Distiller(student=tagger(), teacher=tagger(), terms=[SoftTargets()])
    distiller.compile(keras.optimizers.SGD(0.1))
    reference = keras.models.clone_model(distiller.student)
    reference.set_weights(distiller.student.get_weights())
    reference.compile(keras.optimizers.SGD(0.1), loss=SoftTargets())
    reference.fit(x, np.asarray(distiller.teacher(x)), batch_size=8, shuffle=False, verbose=0)
    distiller.fit(x, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(distiller.student.get_weights(), reference.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_mask_that_does_not_fit_is_refused():
    values = np.zeros((5, 3), "float32")
    with pytest.raises(ValueError, match=r"The student's mask must fit term 'soft_targets'.*5, 5"):
        Term(SoftTargets())(values, values, signal_mask=np.ones((5, 5), bool))


# Weights


def two_outputs(kind):
    inputs = keras.Input((4,))
    outputs = {name: layers.Dense(3, name=name)(inputs) for name in "ab"}
    return keras.Model(inputs, outputs if kind is dict else list(outputs.values()))


@pytest.fixture
def labels(data):
    return {"a": data[1], "b": (data[1] + 1) % 3}


WEIGHTS = {"a": np.float32(np.linspace(0, 2, 24)), "b": np.float32(np.linspace(2, 1, 24))}
EVEN = np.ones(24, "float32")


@pytest.mark.parametrize(
    ("kind", "given", "meant"),
    [
        (dict, WEIGHTS, WEIGHTS),
        (list, list(WEIGHTS.values()), WEIGHTS),
        (dict, WEIGHTS["a"], dict.fromkeys("ab", WEIGHTS["a"])),
        (list, WEIGHTS["a"], dict.fromkeys("ab", WEIGHTS["a"])),
    ],
    ids=["dict", "list", "one for a dict", "one for a list"],
)
def test_weights_by_output(data, labels, frozen, soft_targets, cross_entropy, kind, given, meant):
    x, _ = data
    like = (lambda by_name: by_name) if kind is dict else (lambda by_name: list(by_name.values()))
    student, teacher = two_outputs(kind), two_outputs(kind)
    run = frozen(
        Distiller(student=student, teacher=teacher), like(HARD), weighted_metrics=like(ACCURACY)
    )
    logs = run(x, like(labels), sample_weight=given)
    hard = 0.0
    for key, name in enumerate("ab") if kind is list else zip("ab", "ab"):
        t, s = (np.asarray(model(x)[key]) for model in (teacher, student))
        expected = (meant[name] * soft_targets(t, s, 4.0)).mean()
        assert logs[f"{name}_soft_targets"] == pytest.approx(expected, rel=1e-5)
        hard += (meant[name] * cross_entropy(labels[name], s)).mean()
        right = meant[name] * (s.argmax(-1) == labels[name])
        accuracy = logs[f"{name}_sparse_categorical_accuracy"]
        assert accuracy == pytest.approx(right.sum() / meant[name].sum(), rel=1e-5)
    assert logs["hard_loss"] == pytest.approx(hard, rel=1e-5)


@pytest.mark.tensorflow
def test_weights_of_one_output_only(data, labels, soft_targets, cross_entropy):
    import tensorflow as tf

    x, _ = data
    batch = tf.data.Dataset.from_tensors((x, labels, {"b": WEIGHTS["b"]}))
    distiller = Distiller(student=two_outputs(dict), teacher=two_outputs(dict))
    distiller.compile(keras.optimizers.SGD(0.0), loss=HARD, alpha=0.1, temperature=4.0)
    logs = distiller.fit(batch, shuffle=False, verbose=0).history
    t, s = distiller.teacher(x), distiller.student(x)
    hard = 0.0
    for name, weights in (("a", EVEN), ("b", WEIGHTS["b"])):
        expected = (weights * soft_targets(t[name], s[name], 4.0)).mean()
        assert logs[f"{name}_soft_targets"][0] == pytest.approx(expected, rel=1e-5)
        hard += (weights * cross_entropy(labels[name], s[name])).mean()
    assert logs["hard_loss"][0] == pytest.approx(hard, rel=1e-5)


def test_weights_by_example_reach_every_position(frozen, soft_targets, cross_entropy):
    tokens = keras.Input((5, 4))
    student, teacher = (keras.Model(tokens, dense()(tokens)) for _ in range(2))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 5, 4)).astype("float32"), rng.integers(0, 3, (5, 5))
    weights = np.arange(5, dtype="float32")  # as many examples as positions
    distiller = Distiller(student=student, teacher=teacher)
    logs = frozen(distiller, CROSS_ENTROPY, weighted_metrics=["accuracy"])(
        x, y, sample_weight=weights
    )
    t, s = outputs_of(distiller, x)
    for name, values in (
        ("hard_loss", cross_entropy(y, s)),
        ("soft_targets", soft_targets(t, s, 4.0)),
    ):
        assert logs[name] == pytest.approx((weights[:, None] * values).mean(), rel=1e-5)
    right = (weights[:, None] * (s.argmax(-1) == y)).sum() / weights.sum() / 5
    assert logs["accuracy"] == pytest.approx(right, rel=1e-5)


def test_weights_of_an_output_that_is_not_there():
    output = {"a": np.zeros((24, 3)), "b": np.zeros((24, 3))}
    with pytest.raises(ValueError, match=r"sample_weight must be given.*\['a', 'b'\]"):
        like_outputs(output, ["a", "b"], {"a": EVEN, "c": EVEN})


@pytest.mark.parametrize(
    "loss", [SoftTargets(), DecoupledKD(), NKD(), WTTM()], ids=lambda x: x.name
)
def test_pixels_of_weight_zero_teach_nothing(loss):
    def model():
        image = keras.Input((4, 4, 3))
        return keras.Model(image, layers.Conv2D(5, 1)(image))

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 4, 3)).astype("float32"), rng.integers(0, 5, (2, 4, 4))
    ignored = np.zeros((2, 4, 4), bool)
    ignored[:, :, :2] = True
    teacher, students = model(), []
    for garbage in (0.0, 100.0):
        keras.utils.set_random_seed(3)
        distiller = Distiller(student=model(), teacher=teacher, terms=[loss])
        distiller.compile(keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY)
        image = np.where(ignored[..., None], np.float32(garbage), x)
        weights = np.where(ignored, 0.0, 1.0).astype("float32")
        distiller.fit(image, y, sample_weight=weights, verbose=0)
        students.append(distiller.student.get_weights())
    for a, b in zip(*students):
        np.testing.assert_allclose(a, b, atol=1e-6)
