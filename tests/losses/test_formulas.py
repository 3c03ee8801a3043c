"""Losses against independent float64 formulas, over wide inputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_kd.losses import MultiLabelSoftTargets, SoftTargets
from keras_kd.losses.base import standardize

PAIRS = arrays(
    "float32",
    st.tuples(st.just(2), st.integers(1, 4), st.integers(3, 7)),
    elements=st.floats(-100, 100, width=32),
)
TEMPERATURES = st.floats(0.5, 20)


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def log_sigmoid(z):
    return -np.logaddexp(0.0, -z)


def soft_targets(t, s, temperature):
    log_p, log_q = log_softmax(t / temperature), log_softmax(s / temperature)
    return temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(-1)


def multi_label(t, s, temperature):
    t, s = t / temperature, s / temperature
    on = np.exp(log_sigmoid(t)) * (log_sigmoid(t) - log_sigmoid(s))
    off = np.exp(log_sigmoid(-t)) * (log_sigmoid(-t) - log_sigmoid(-s))
    return (on + off).sum(-1)


FORMULAS = [(SoftTargets, soft_targets), (MultiLabelSoftTargets, multi_label)]


@pytest.mark.parametrize(("loss", "formula"), FORMULAS)
@settings(max_examples=50, deadline=None)
@given(pair=PAIRS, temperature=TEMPERATURES)
def test_value_equals_the_formula(loss, formula, pair, temperature):
    teacher, student = pair
    values = loss(temperature=temperature).call(teacher, student)
    expected = formula(*pair.astype("float64"), temperature)
    np.testing.assert_allclose(values, expected, rtol=2e-5, atol=1e-5 * temperature**2)


@settings(max_examples=50, deadline=None)
@given(pair=PAIRS, temperature=TEMPERATURES)
def test_gradient_of_soft_targets(pair, temperature):
    teacher, student = pair
    gradient = gradient_of(SoftTargets(temperature=temperature), teacher, student)
    p, q = (np.exp(log_softmax(z.astype("float64") / temperature)) for z in pair)
    np.testing.assert_allclose(gradient, temperature * (q - p), atol=2e-5 * temperature)


@settings(max_examples=50, deadline=None)
@given(pair=PAIRS, temperature=TEMPERATURES)
def test_gradient_of_multi_label_soft_targets(pair, temperature):
    teacher, student = pair
    gradient = gradient_of(MultiLabelSoftTargets(temperature=temperature), teacher, student)
    p, q = (np.exp(log_sigmoid(z.astype("float64") / temperature)) for z in pair)
    np.testing.assert_allclose(gradient, (q - p) / temperature, atol=2e-5)


def gradient_of(loss, teacher, student):
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = tf.reduce_sum(loss.call(teacher, student))
    return tape.gradient(value, student).numpy()


def test_a_confidently_wrong_student_still_learns():
    teacher, student = np.float32([[50.0, -50.0, 0.0]]), np.float32([[-5000.0, 5000.0, 0.0]])
    gradient = gradient_of(SoftTargets(temperature=4.0), teacher, student)
    np.testing.assert_allclose(gradient, [[-4.0, 4.0, 0.0]], atol=1e-4)
    gradient = gradient_of(MultiLabelSoftTargets(), teacher, student)
    np.testing.assert_allclose(gradient, [[-1.0, 1.0, 0.0]], atol=1e-4)


@pytest.mark.parametrize("loss", [SoftTargets(), SoftTargets(1.0), MultiLabelSoftTargets()])
@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3), ("float16", 6e4)]
)
def test_finite_for_large_logits(loss, dtype, size):
    teacher = keras.ops.cast([[size, -size, 0.0], [0.0, size, -size]], dtype)
    student = keras.ops.cast([[-size, size, 0.0], [0.0, size, -size]], dtype)
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = loss.call(teacher, student)
    assert keras.backend.standardize_dtype(values.dtype) == "float32"
    assert np.isfinite(values).all()
    assert np.isfinite(keras.ops.cast(tape.gradient(values, student), "float32")).all()


def test_half_precision_inputs_are_computed_in_float32():
    teacher, student = np.float16([[300.0, 2.0, -7.5]]), np.float16([[1.5, 250.0, -3.0]])
    for loss, formula in FORMULAS:
        values = loss(temperature=2.0).call(teacher, student)
        expected = formula(teacher.astype("float64"), student.astype("float64"), 2.0)
        np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_standardized_rows_have_zero_mean_and_unbiased_unit_deviation():
    z = np.random.default_rng(0).normal(3.0, 5.0, (4, 6)).astype("float32")
    result = np.asarray(standardize(keras.ops.convert_to_tensor(z)), "float64")
    expected = (z - z.mean(-1, keepdims=True)) / z.std(-1, ddof=1, keepdims=True)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_standardizing_two_classes_warns():
    with pytest.warns(UserWarning, match="nothing with 2 classes"):
        SoftTargets(standardize=True).call(np.float32([[1.0, 2.0]]), np.float32([[2.0, 1.0]]))
