"""A batch carries the teacher's answers to the loss, and weights reach what they are for."""

import numpy as np
import pytest
from keras import ops

from keras_kd.teachers import batch

NAMES = ["a", "b"]
OUTPUT = {"a": np.zeros((4, 3), "float32"), "b": np.zeros((4, 5, 3), "float32")}


def test_what_is_put_around_an_input_comes_off_again():
    x, answers = np.ones((4, 2)), {"a": np.zeros((4, 3))}
    carrying = batch.with_answers(x, answers)
    assert batch.carries_answers(carrying)
    assert not batch.carries_answers(x)
    assert batch.inputs(carrying) is x
    assert batch.inputs(x) is x
    assert batch.answers(carrying) == answers


def test_the_teacher_may_be_shown_something_else():
    x, shown = np.ones((4, 2)), np.zeros((4, 9))
    both = batch.with_teacher_input(x, shown)
    assert batch.inputs(both) is x
    assert batch.teacher_input(both) is shown
    assert batch.teacher_input(x) is x


@pytest.mark.parametrize(("value", "bad"), [(1.0, False), (np.nan, True), (np.inf, True)])
def test_answers_that_are_not_finite(value, bad):
    answers = {"a": ops.ones((2,)), "b": ops.convert_to_tensor([1.0, value])}
    assert bool(batch.not_finite(answers)) is bad
    assert batch.not_finite({}) is None


def test_values_by_name_come_in_any_structure():
    assert batch.by_name({"b": 2, "a": 1, "c": 3}, NAMES) == {"a": 1, "b": 2}
    assert batch.by_name([1, 2], NAMES) == {"a": 1, "b": 2}
    assert batch.by_name(7, NAMES) == {"a": 7, "b": 7}
    assert batch.by_name([1, 2, 3], NAMES) == {}
    assert batch.replaced([1, 2], NAMES, {"b": 9}) == [1, 9]
    assert batch.replaced({"a": 1, "b": 2}, NAMES, {"a": 9}) == {"a": 9, "b": 2}


def test_weights_by_example_get_an_axis_for_each_position():
    weights = batch.weights_like(OUTPUT, NAMES, ops.ones((4,)))
    assert weights["a"].shape == (4,)
    assert weights["b"].shape == (4, 1)
    assert batch.weights_like(OUTPUT, NAMES, None) is None
    assert batch.weights_like(OUTPUT, NAMES, {"b": ops.ones((4,))})["a"] is None
    with pytest.raises(ValueError, match=r"by output.*keys among \['a', 'b'\]"):
        batch.weights_like(OUTPUT, NAMES, {"b": ops.ones((4,)), "c": ops.ones((4,))})


def test_what_belongs_to_no_output_has_the_product_of_the_weights():
    given = {"a": ops.convert_to_tensor([1.0, 2.0]), "b": ops.convert_to_tensor([3.0, 0.5])}
    np.testing.assert_allclose(batch.joint_weights(NAMES, given, alike=False), [3.0, 1.0])
    np.testing.assert_allclose(batch.joint_weights(NAMES, given, alike=True), [1.0, 2.0])


def test_weights_fit_the_values_of_a_term():
    values = ops.zeros((4, 5))
    assert batch.weights_of(values, ops.ones((4,)), "sample_weight", "t").shape == (4, 1)
    assert batch.weights_of(ops.zeros((4,)), ops.ones((4, 1)), "sample_weight", "t").shape == (4,)
    with pytest.raises(ValueError, match=r"sample_weight must fit term 't'.*per position"):
        batch.weights_of(values, ops.ones((4, 3)), "sample_weight", "t")
