"""Sample weights fit what they are multiplied with: outputs, positions, the values of a term."""

import numpy as np
import pytest
from keras import ops

from keras_kd.distiller import weights

NAMES = ["a", "b"]
OUTPUT = {"a": np.zeros((4, 3), "float32"), "b": np.zeros((4, 5, 3), "float32")}


def test_weights_by_example_get_an_axis_for_each_position():
    fitted = weights.like_outputs(OUTPUT, NAMES, ops.ones((4,)))
    assert fitted["a"].shape == (4,)
    assert fitted["b"].shape == (4, 1)
    assert weights.like_outputs(OUTPUT, NAMES, None) is None
    assert weights.like_outputs(OUTPUT, NAMES, {"b": ops.ones((4,))})["a"] is None
    with pytest.raises(ValueError, match=r"by output.*keys among \['a', 'b'\]"):
        weights.like_outputs(OUTPUT, NAMES, {"b": ops.ones((4,)), "c": ops.ones((4,))})


def test_what_belongs_to_no_output_has_the_product_of_the_weights():
    given = {"a": ops.convert_to_tensor([1.0, 2.0]), "b": ops.convert_to_tensor([3.0, 0.5])}
    np.testing.assert_allclose(weights.joint(NAMES, given, alike=False), [3.0, 1.0])
    np.testing.assert_allclose(weights.joint(NAMES, given, alike=True), [1.0, 2.0])


def test_weights_fit_the_values_of_a_term():
    values = ops.zeros((4, 5))
    assert weights.of_values(values, ops.ones((4,)), "sample_weight", "t").shape == (4, 1)
    assert weights.of_values(ops.zeros((4,)), ops.ones((4, 1)), "sample_weight", "t").shape == (4,)
    with pytest.raises(ValueError, match=r"sample_weight must fit term 't'.*per position"):
        weights.of_values(values, ops.ones((4, 3)), "sample_weight", "t")
