import keras
import numpy as np
import pytest

from keras_kd.networks.structures import are_arrays

ARRAY = np.zeros((2, 3))


@pytest.mark.parametrize(
    "x", [ARRAY, [ARRAY, ARRAY], {"a": ARRAY, "b": (ARRAY,)}, keras.ops.ones((2,))]
)
def test_arrays_in_any_structure(x):
    assert are_arrays(x)


@pytest.mark.parametrize("x", [iter([ARRAY]), {"a": ARRAY, "b": "text"}, lambda: ARRAY])
def test_sources_of_batches_are_none(x):
    assert not are_arrays(x)
