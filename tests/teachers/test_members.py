"""Do these teachers make an ensemble?"""

import pytest

from keras_kd.teachers import Function, members


def test_shares_sum_to_one():
    assert members.shares(None, 4) == [0.25] * 4
    assert members.shares([1, 3], 2) == [0.25, 0.75]


def test_a_single_output_needs_no_name():
    a, b = Function(len, name="a"), Function(len, name="b")
    assert members.own_names(a, b) == {"output": "output"}
    b.heads = {"x": None, "y": None}
    with pytest.raises(ValueError, match="must have outputs of the same names"):
        members.own_names(a, b)
