"""What belongs to an output is found by name in every container."""

from typing import NamedTuple

import keras
import numpy as np
import pytest

from keras_kd.networks.structures import are_arrays, by_name, replaced

ARRAY = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (5, {"a": 5, "b": 5}),
        ([1, 2], {"a": 1, "b": 2}),
        ({"b": 2, "a": 1}, {"a": 1, "b": 2}),
        ({"b": 2}, {"b": 2}),
        ([1, 2, 3], {}),
    ],
)
def test_values_by_name(values, expected):
    assert by_name(values, ["a", "b"]) == expected


def test_a_single_output_needs_no_name():
    assert by_name({"whatever": 1}, ["output"]) == {"output": 1}
    assert replaced({"whatever": 1}, ["output"], {"output": 2}) == {"whatever": 2}


def test_the_structure_stays():
    class Pair(NamedTuple):
        a: int
        b: int

    for values in (Pair(1, 2), (1, 2), [1, 2]):
        found = replaced(values, ["a", "b"], {"b": 3})
        assert type(found) is type(values)
        assert list(found) == [1, 3]


@pytest.mark.parametrize(
    "x", [ARRAY, [ARRAY, ARRAY], {"a": ARRAY, "b": (ARRAY,)}, keras.ops.ones((2,))]
)
def test_arrays_in_any_structure(x):
    assert are_arrays(x)


@pytest.mark.parametrize("x", [iter([ARRAY]), {"a": ARRAY, "b": "text"}, lambda: ARRAY])
def test_sources_of_batches_are_none(x):
    assert not are_arrays(x)
