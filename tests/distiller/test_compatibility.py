"""What may be a student or a teacher."""

import re

import keras
import numpy as np
import pytest
from keras import layers, losses

from keras_kd import Distiller, suggest_pairs
from keras_kd.losses import NKD, DecoupledKD, LogitMSE, SoftTargets
from keras_kd.teachers import KerasModel


@pytest.fixture
def recurrent():
    """Builds a recurrent classifier of 8 sequences at once."""

    def build(stateful=False, wrapped=lambda layer: layer):
        inputs = keras.Input(batch_shape=(8, 4, 3))
        hidden = wrapped(layers.LSTM(4, stateful=stateful))(inputs)
        return keras.Model(inputs, layers.Dense(3)(hidden))

    return build


@pytest.mark.parametrize("wrapped", [lambda layer: layer, layers.Bidirectional])
def test_a_teacher_whose_state_goes_on_is_refused(recurrent, wrapped):
    student, teacher = recurrent(), recurrent(stateful=True, wrapped=wrapped)
    nested = keras.Model(teacher.inputs, teacher(teacher.inputs))
    refused = pytest.raises(ValueError, match=r"must answer each batch by itself.*stateful=True in")
    for each in (teacher, nested):
        with refused:
            Distiller(student=student, teacher=each)
    with refused:
        KerasModel(teacher.layers[1])


def test_the_way_out_of_a_state_gives_its_first_answers(recurrent):
    teacher, copy = recurrent(stateful=True), recurrent()
    copy.set_weights(teacher.get_weights())
    x = np.random.default_rng(0).normal(size=(8, 4, 3)).astype("float32")
    first = teacher.predict(x, verbose=0)
    np.testing.assert_allclose(copy.predict(x, verbose=0), first, rtol=1e-5, atol=1e-6)
    Distiller(student=recurrent(stateful=True), teacher=copy)  # a student may have a state


def test_a_distiller_is_neither_student_nor_teacher(net):
    class Example(keras.Model):
        """That of keras.io."""

        def __init__(self, student, teacher):
            super().__init__(name="example")
            self.student, self.teacher = student, teacher

    distiller = Distiller(student=net(), teacher=net(width=32))
    for model in (distiller, Example(net(), net(width=32))):
        with pytest.raises(TypeError, match=f"not a Distiller.*student={model.name}.student"):
            Distiller(student=model, teacher=net(width=32))
        with pytest.raises(TypeError, match=f"not a Distiller.*teacher={model.name}.student"):
            Distiller(student=net(), teacher=model)
    with pytest.raises(TypeError, match=r"Distiller.*teacher=distiller.student"):
        KerasModel(distiller)
    with pytest.raises(TypeError, match=r"Distiller.*student=distiller.student"):
        suggest_pairs(net(), distiller, np.zeros((8, 4), "float32"))


FORM = re.compile(r" must .*\. Expected: .+\. Received: .+\. [A-Z].+\.$", re.DOTALL)


def refused(error, words):
    """Expects `error` with these words and in the form of all messages."""
    return pytest.raises(error, match=f"(?s){words}", check=lambda e: bool(FORM.search(str(e))))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


@pytest.fixture
def subclassed():
    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    return model


@pytest.fixture
def distiller(net):
    return Distiller(student=net(), teacher=net())


def test_a_student_that_is_its_own_teacher(net):
    model = net()
    with refused(ValueError, "teacher must be another model than the student"):
        Distiller(student=model, teacher=model)


def test_another_teacher_is_checked_too(distiller, net):
    with refused(TypeError, "teacher must be a Keras model"):
        distiller.teacher = "resnet"
    with refused(ValueError, "teacher and student must have the same shape"):
        distiller.teacher = net(units=5)


def test_class_counts_that_differ(net):
    with refused(ValueError, r"the same shape at 'output'.*\(None, 3\).*\(None, 100\)"):
        Distiller(student=net(units=3), teacher=net(units=100))


def test_class_counts_of_subclassed_models_are_seen_on_the_first_batch(net, subclassed, data):
    student = net(units=5)
    distiller = Distiller(student=student, teacher=subclassed, teacher_head="logits")
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="logits of one shape to term 'soft_targets'"):
        distiller.fit(*data, verbose=0)


def test_output_structures_that_differ():
    inputs = keras.Input((4,))
    a, b, c = (layers.Dense(3, name=name)(inputs) for name in "abc")
    one, two = keras.Model(inputs, a), keras.Model(inputs, [a, b])
    keyed, other = keras.Model(inputs, {"a": a, "b": b}), keras.Model(inputs, {"a": a, "c": c})
    for student, teacher in ((one, two), (two, one), (keyed, other), (two, other)):
        with refused(ValueError, "teacher and student must have the same outputs"):
            Distiller(student=student, teacher=teacher)


def test_heads_that_differ_in_kind(net):
    with refused(ValueError, "the same kind of head at 'output'"):
        Distiller(student=net(activation="softmax"), teacher=net(activation="sigmoid"))


def test_an_unknown_head_asks_for_the_override_or_terms(net):
    with refused(ValueError, "no known head.*terms=.*student_head="):
        Distiller(student=net(activation="tanh"), teacher=net())


def test_subclassed_models_need_the_override(net, subclassed):
    with refused(ValueError, "no known head.*student_head="):
        Distiller(student=subclassed, teacher=net())
    with refused(ValueError, "teacher_head must be given"):
        Distiller(student=net(), teacher=subclassed)
    Distiller(student=net(), teacher=subclassed, teacher_head="logits")
    Distiller(student=subclassed, teacher=net(), student_head="logits")


def test_logit_terms_need_known_heads(net):
    for role in ("student", "teacher"):
        models = {"student": net(), "teacher": net(), role: net(activation="tanh")}
        with refused(ValueError, f"{role}_head must be given"):
            Distiller(**models, terms=[SoftTargets()])
        Distiller(**models, terms=[losses.MeanSquaredError()])


def test_probabilities_are_not_compared_with_logits(net, subclassed):
    with refused(ValueError, "student_head must be given"):
        Distiller(
            student=subclassed,
            teacher=net(activation="softmax"),
            terms=[losses.MeanSquaredError()],
        )
    for loss in (losses.MeanSquaredError(), LogitMSE()):
        with refused(ValueError, "must not depend on the logits' mean"):
            Distiller(student=net(), teacher=subclassed, teacher_head="softmax", terms=[loss])


@pytest.mark.parametrize("loss", [DecoupledKD(), NKD()])
def test_some_losses_need_three_classes(net, loss):
    name = type(loss).__name__
    words = f"{name} in term '{loss.name}' must compare at least 3 classes"
    with refused(ValueError, words):
        Distiller(student=net(units=2), teacher=net(units=2), terms=[loss])
