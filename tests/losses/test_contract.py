"""What every loss promises; a new loss enrols by being exported."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_kd
from keras_kd.losses import DistillationLoss

LOSSES = [
    loss
    for _, loss in inspect.getmembers(keras_kd.losses, inspect.isclass)
    if issubclass(loss, DistillationLoss) and loss is not DistillationLoss
]
pytestmark = pytest.mark.parametrize("loss_class", LOSSES)


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 6, 5)).astype("float32") * 3


def test_round_trip(loss_class, pair):
    loss = loss_class(temperature=2.5, name="mine", reduction="sum")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(copy) is loss_class
    assert copy.get_config() == loss.get_config()
    assert (copy.name, copy.reduction, copy.temperature) == ("mine", "sum", 2.5)
    np.testing.assert_array_equal(copy(*pair), loss(*pair))


def test_registered_under_the_packages_name(loss_class):
    assert keras.saving.get_registered_name(loss_class) == f"keras_kd>{loss_class.__name__}"


def test_one_value_per_example_or_position(loss_class, pair):
    assert loss_class().call(*pair).shape == (6,)
    assert loss_class().call(*pair.reshape(2, 2, 3, 5)).shape == (2, 3)


def test_gradient_equals_finite_differences(loss_class, pair):
    loss = loss_class()
    teacher, student = tf.constant(pair, "float64")
    direction = tf.constant(np.random.default_rng(1).normal(size=student.shape))
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = tf.reduce_mean(loss.call(teacher, student))
    slope = tf.reduce_sum(tape.gradient(value, student) * direction)
    step = 1e-6
    ahead, behind = (
        tf.reduce_mean(loss.call(teacher, student + sign * step * direction)) for sign in (1, -1)
    )
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6)


def test_graph_and_jit_equal_eager(loss_class, pair):
    loss = loss_class()
    eager = loss(*pair)
    for jit_compile in (False, True):
        compiled = tf.function(loss, jit_compile=jit_compile)(*map(tf.constant, pair))
        np.testing.assert_allclose(compiled, eager, rtol=1e-5)


def test_zero_weight_removes_an_example(loss_class, pair):
    loss = loss_class(reduction="sum")
    kept = loss(pair[0][:4], pair[1][:4])
    weighted = loss(*pair, sample_weight=np.float32([1, 1, 1, 1, 0, 0]))
    np.testing.assert_allclose(weighted, kept, rtol=1e-6)


def test_zero_where_student_and_teacher_agree(loss_class, pair):
    np.testing.assert_allclose(loss_class().call(pair[0], pair[0]), np.zeros(6), atol=1e-5)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_temperature_must_be_positive(loss_class, temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        loss_class(temperature=temperature)


@pytest.mark.parametrize("temperature", ["4", None, True])
def test_temperature_must_be_a_number(loss_class, temperature):
    with pytest.raises(TypeError, match="temperature must be a finite number above 0"):
        loss_class(temperature=temperature)
