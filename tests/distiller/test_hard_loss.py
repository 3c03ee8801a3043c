"""A loss on the labels and a head that contradict each other are refused, both ways."""

import functools

import keras
import pytest
from keras import layers, losses

from keras_kd import Distiller

PROBABILITIES = [
    "sparse_categorical_crossentropy",
    "crossentropy",
    "SparseCategoricalCrossentropy",
    losses.sparse_categorical_crossentropy,
    losses.SparseCategoricalCrossentropy(),
    losses.SparseCategoricalCrossentropy,
    losses.CategoricalFocalCrossentropy(),
    losses.KLDivergence(),
    functools.partial(losses.categorical_crossentropy, label_smoothing=0.1),
]
LOGITS = [
    losses.SparseCategoricalCrossentropy(from_logits=True),
    losses.CategoricalCrossentropy(from_logits=True),
    functools.partial(losses.categorical_crossentropy, from_logits=True),
]


@pytest.mark.parametrize("loss", PROBABILITIES)
def test_probability_losses_want_a_softmax(net, loss):
    Distiller(student=net(activation="softmax"), teacher=net()).compile(loss=loss)
    with pytest.raises(ValueError, match=r"(?s)loss must agree.*from_logits=True.*from_logits=Fal"):
        Distiller(student=net(), teacher=net()).compile(loss=loss)


@pytest.mark.parametrize("loss", LOGITS)
def test_logit_losses_want_logits(net, loss):
    Distiller(student=net(), teacher=net()).compile(loss=loss)
    with pytest.raises(
        ValueError, match=r"(?s)loss must agree.*softmax probabilities.*from_logits"
    ):
        Distiller(student=net(activation="softmax"), teacher=net()).compile(loss=loss)


def test_sigmoids_too(net):
    student = net(activation="sigmoid")
    distiller = Distiller(student=student, teacher=net(activation="sigmoid"))
    distiller.compile(loss="binary_crossentropy")
    with pytest.raises(ValueError, match="sigmoid probabilities"):
        distiller.compile(loss=losses.BinaryCrossentropy(from_logits=True))


def test_functions_of_the_users_own_are_not_judged_by_their_name(net):
    def crossentropy(y, z):
        return losses.sparse_categorical_crossentropy(y, z, from_logits=True)

    Distiller(student=net(), teacher=net()).compile(loss=crossentropy)


@pytest.mark.parametrize("loss", ["mse", losses.CategoricalHinge(), lambda y, z: z[:, 0], None])
def test_other_losses_take_any_head(net, loss):
    for activation in (None, "softmax"):
        terms = [losses.MeanSquaredError()] if activation is None else None
        student = net(activation=activation)
        Distiller(student=student, teacher=net(), terms=terms).compile(loss=loss)


def test_each_output_is_checked():
    inputs = keras.Input((4,))

    def model():
        heads = [layers.Dense(3, name="z")(inputs), layers.Dense(3, "softmax", name="p")(inputs)]
        return keras.Model(inputs, {"z": heads[0], "p": heads[1]}), keras.Model(inputs, heads)

    for student, teacher in zip(model(), model()):
        distiller = Distiller(student=student, teacher=teacher)
        names = list(distiller._logits.heads)
        right = {"z": LOGITS[0], "p": PROBABILITIES[0]}
        wrong = {"z": PROBABILITIES[0], "p": LOGITS[0]}
        distiller.compile(loss=right)
        distiller.compile(loss=[right[name] for name in names])
        with pytest.raises(ValueError, match="head at 'z', which gives logits"):
            distiller.compile(loss=wrong)
        with pytest.raises(ValueError, match="head at"):
            distiller.compile(loss=[wrong[name] for name in names])
        with pytest.raises(ValueError, match="head at 'z'"):
            distiller.compile(loss="sparse_categorical_crossentropy")


def test_the_head_that_was_given_counts(net):
    student = net(activation="softmax")
    with pytest.warns(UserWarning, match="student_head says"):
        distiller = Distiller(student=student, teacher=net(), student_head="logits")
    distiller.compile(loss=LOGITS[0])
    with pytest.raises(ValueError, match="which gives logits"):
        distiller.compile(loss=PROBABILITIES[0])
