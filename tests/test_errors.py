"""The form of messages, and the checks of the common kinds of argument."""

import re

import numpy as np
import pytest

from keras_kd import _errors

FORM = r"^[^.]* must .*\. Expected: .*\. Received: .*\. .*\.$"


@pytest.mark.parametrize("value", [0, 3, np.int64(3), np.uint8(0)])
def test_integers_come_back_as_ints(value):
    number = _errors.check_integer("views", value, 0, 3)
    assert type(number) is int
    assert number == value


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (4, ValueError),
        (1.0, TypeError),
        (True, TypeError),
        ("1", TypeError),
        (None, TypeError),
        (np.array([1, 2]), TypeError),
    ],
)
def test_what_is_no_integer_of_the_range_is_refused(value, error):
    with pytest.raises(error, match=FORM) as caught:
        _errors.check_integer("views", value, 0, 3)
    assert str(caught.value) == (
        "views must be an integer from 0 to 3. Expected: 0 to 3. "
        f"Received: {' '.join(repr(value).split())}. Pass e.g. views=3."
    )


def test_a_count_may_be_left_out():
    assert _errors.check_count("units", None, optional=True) is None
    with pytest.raises(
        ValueError, match=r"at least 1\. Expected: 1 or more, or None\. Received: 0"
    ):
        _errors.check_count("units", 0, optional=True)


@pytest.mark.parametrize(
    ("value", "error"), [(np.nan, ValueError), (-1, ValueError), ("4", TypeError)]
)
def test_numbers(value, error):
    assert _errors.check_number("tau", np.float32(4), "above 0") == 4.0
    with pytest.raises(
        error, match=r"tau must be a finite number above 0\. .*Pass e\.g\. tau=4\.0"
    ):
        _errors.check_number("tau", value, "above 0")


@pytest.mark.parametrize("value", ["int4", None, 8, ["int8"], np.array(["int8", "int8"])])
def test_choices(value):
    assert _errors.check_choice("mode", "int8", ("float", "int8")) == "int8"
    with pytest.raises(ValueError, match=r"mode must be 'float' or 'int8'\. .*mode='float'"):
        _errors.check_choice("mode", value, ("float", "int8"))


def test_types_and_callables():
    assert _errors.check_type("name", "a", str, "be a string") == "a"
    with pytest.raises(TypeError, match=r"name must be a string\. .*Received: 3\. .*name='a'"):
        _errors.check_type("name", 3, str, "be a string", example="a")
    assert _errors.check_callable("augment", print, "be a function") is print
    with pytest.raises(TypeError, match=r"augment must be a function\. .*Received: 3\. Leave"):
        _errors.check_callable("augment", 3, "be a function", mend="Leave it out")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("be a list", "a list"), ("have one output", "one output"), ("name a layer", "name a layer")],
)
def test_what_is_expected_is_what_the_rule_says(rule, expected):
    error = _errors.refusal(f"x must {rule}", received="none", mend="Do it", error=TypeError)
    assert type(error) is TypeError
    assert str(error) == f"x must {rule}. Expected: {expected}. Received: none. Do it."
    said = str(_errors.wrong("x", rule, None, mend="Do it"))
    assert said == f"x must {rule}. Expected: {expected}. Received: None. Do it."


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [3, 4]])
def test_arrays_are_of_one_length(lengths):
    assert _errors.check_lengths("x", iter([3, 3]), "Cut them") == 3
    with pytest.raises(ValueError, match=FORM) as caught:
        _errors.check_lengths("x", lengths, "Cut them")
    assert "x must hold at least one sample, and the same number in each array" in str(caught.value)
    assert f"Received: {lengths}. Cut them." in str(caught.value)


def test_long_values_are_shown_on_one_line_and_cut():
    shown = _errors.shown(np.arange(900).reshape(30, 30))
    assert len(shown) < 240
    assert "\n" not in shown
    assert shown.startswith("array([[")
    assert " ... " in _errors.shown("x" * 500)


def test_a_reason_is_a_message_within_an_error_or_its_first_line():
    own = _errors.message("x must be", expected="a", received="b", mend="Do it")
    assert _errors.reason(RuntimeError(f"In a layer:\nValueError: {own}\nmore")) == own
    assert _errors.reason(KeyError("a")) == "KeyError: 'a'"
    assert re.match(FORM, own)
