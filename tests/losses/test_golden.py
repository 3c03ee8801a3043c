"""Losses against the values and gradients that their authors' code gives in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.losses import MultiLabelSoftTargets, SoftTargets

PREFIXES = {
    "kd_t4": lambda: SoftTargets(temperature=4.0),
    "kd_t1": lambda: SoftTargets(temperature=1.0),
    "kd_ls_t2": lambda: SoftTargets(temperature=2.0, standardize=True),
    "mld": lambda: MultiLabelSoftTargets(),
}
# A constant row standardizes to zeros; the authors' gradient there, several 1e5, is an accident of
# their epsilon.
NO_GRADIENT = {("kd_ls_t2", "const")}


def loss_and_gradient(loss, teacher, student):
    student = tf.constant(student, "float32")
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = loss(tf.constant(teacher, "float32"), student)
    return value.numpy(), tape.gradient(value, student).numpy()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_equals_the_authors_values_in_float32(golden, prefix):
    for case, arrays in golden(prefix).items():
        loss = PREFIXES[prefix]()
        value, gradient = loss_and_gradient(loss, arrays["teacher"], arrays["student"])
        expected = arrays.get("loss_unclipped", arrays["loss"])
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-6, err_msg=case)
        clipped = not np.isclose(expected, arrays["loss"], rtol=1e-6)
        if (prefix, case) in NO_GRADIENT or clipped:
            assert np.isfinite(gradient).all()
            continue
        largest = np.abs(arrays["grad_student"]).max()
        np.testing.assert_allclose(
            gradient, arrays["grad_student"], rtol=0, atol=1e-4 * largest + 1e-6, err_msg=case
        )


@pytest.mark.parametrize("prefix", PREFIXES)
def test_one_value_per_example(golden, prefix):
    for case, arrays in golden(prefix).items():
        if "per_example" in arrays and "loss_unclipped" not in arrays:
            values = PREFIXES[prefix]().call(
                keras.ops.cast(arrays["teacher"], "float32"),
                keras.ops.cast(arrays["student"], "float32"),
            )
            np.testing.assert_allclose(
                values, arrays["per_example"], rtol=2e-5, atol=5e-6, err_msg=case
            )
