"""A teacher's classes in the student's order, and maps that are none."""

import keras
import numpy as np
import pytest

from keras_kd.teachers import KerasModel
from keras_kd.teachers.class_order import ClassOrder


def test_answers_come_in_the_student_s_order():
    order = ClassOrder(np.array([2, 0, 1]))
    logits = keras.ops.convert_to_numpy(order(np.array([[20.0, 0.0, 10.0]])))
    np.testing.assert_array_equal(logits, [[0.0, 10.0, 20.0]])
    background = ClassOrder([None, 1, 0])
    assert (background.count(3), background.count(None), ClassOrder(None).count(7)) == (2, 2, 7)
    logits = keras.ops.convert_to_numpy(background(np.array([[9.0, 1.0, 0.0]])))
    np.testing.assert_array_equal(logits, [[0.0, 1.0]])


@pytest.mark.parametrize(
    ("classes", "received"),
    [
        ([0, 1, 1], r"\[1\] repeated"),
        ([0, 3, 1], r"\[3\] unknown, \[2\] missing"),
        ([-1, 0, 1], r"\[-1\] unknown, \[2\] missing"),
        ([None, None], r"\[0\] missing"),
    ],
)
def test_maps_that_are_none(classes, received):
    with pytest.raises(ValueError, match=rf"class ids once.*Received: .*{received}"):
        ClassOrder(classes)


@pytest.mark.parametrize("classes", ["cat", ["cat", "dog"], [0.0, 1.0], [], 3, {"cat": 0}])
def test_names_are_to_be_looked_up(classes):
    with pytest.raises(TypeError, match=r"student's class ids in the teacher's order.*\.index\("):
        ClassOrder(classes)


def test_a_keras_model_may_have_an_order_of_its_own(net, data):
    model = net(units=4)
    teacher = KerasModel(model, classes=[1, None, 2, 0])
    logits = keras.ops.convert_to_numpy(model(data[0]))
    np.testing.assert_allclose(teacher.predict(data[0])["output"], logits[:, [3, 0, 2]], rtol=1e-6)
    assert teacher.heads["output"].shape == teacher.outputs[0].shape == (None, 3)
    assert teacher.fingerprint() != KerasModel(model).fingerprint()
    with pytest.raises(
        ValueError, match=r"classes must name the student's class of each.* 4 class"
    ):
        KerasModel(model, classes=[0, 1, 2])
    two = keras.Model(model.inputs, [model.outputs[0], model.outputs[0]])
    with pytest.raises(ValueError, match="classes must be left out where a model has several"):
        KerasModel(two, classes=[0, 1, 2, 3])
