"""What a label is, by the loss that reads it and in every dtype."""

import keras
import numpy as np
import pytest

from keras_kd.distiller.label_rules import Rule
from keras_kd.distiller.labels import read

DTYPES = ["bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


IDS, ROWS, BINARY = Rule(floats=True), Rule(shares=True), Rule(binary=True)


def as_dtype(y, dtype):
    return np.asarray(keras.ops.cast(y, dtype)) if dtype == "bfloat16" else y.astype(dtype)


@pytest.mark.parametrize("rule", [IDS, ROWS, BINARY])
@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_of_every_dtype_are_read_alike(rule, dtype):
    y = np.array([0, 1, 1, 0]) if rule is IDS else np.array([[0, 1], [1, 1], [1, 0], [0, 0]])
    reading = read(as_dtype(y, dtype), (None, 2), rule)
    assert (np.asarray(reading.labels, "int64") == y).all()
    assert np.asarray(reading.known).all()
    assert not reading.wrong


@pytest.mark.parametrize("rule", [IDS, ROWS, BINARY])
@pytest.mark.parametrize("dtype", ["int8", "int64", "float16", "bfloat16", "float32", "float64"])
def test_labels_of_every_dtype_may_miss(rule, dtype):
    y = np.array([1, -1, 0]) if rule is IDS else np.array([[0, 1], [-1, -1], [1, 0]])
    reading = read(as_dtype(y, dtype), (None, 2), rule)
    assert np.asarray(reading.known).tolist() == [True, False, True]
    assert (np.asarray(reading.labels, "int64") == np.maximum(y, 0)).all()
    assert not reading.wrong


@pytest.mark.parametrize("rule", [ROWS, BINARY])
@pytest.mark.parametrize(
    ("dtype", "wrong"),
    [
        ("uint8", 255),
        ("int16", 255),
        ("int32", -2),
        ("uint64", 2**64 - 1),
        ("float16", 255),
        ("bfloat16", 1.125),
        ("float32", 1.001),
        ("float32", -0.01),
        ("float32", np.nan),
        ("float64", np.inf),
    ],
)
def test_numbers_outside_of_0_to_1_are_wrong(rule, dtype, wrong):
    if dtype == "uint64":
        y = np.array([[0, 1], [0, wrong]], dtype)
    else:
        y = as_dtype(np.array([[0, 1], [0, wrong]]), dtype)
    reading = read(y, (None, 2), rule)
    assert np.asarray(reading.known).tolist() == [True, False]
    assert reading.wrong


@pytest.mark.parametrize("rule", [ROWS, BINARY])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_mixing_and_smoothing_make_of_labels_is_right(data, rule, dtype):
    share = np.random.default_rng(0).random((24, 1)).astype("float32")
    rows = np.eye(3, dtype="float32")[data[1]]
    mixed = share * rows + (1 - share) * rows[::-1]  # up to the last bit above 1
    for y in (mixed, 0.9 * rows + 0.1 / 3, np.float32([[1 + 1e-6, -5e-7, 0.0]])):
        reading = read(as_dtype(y, dtype), (None, 3), rule)
        assert np.asarray(reading.known).all()
        assert not reading.wrong
