"""What may be a student or a teacher."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, suggest_pairs
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
