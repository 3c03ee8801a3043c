import functools

import pytest

from keras_kd.soft_labels import batched, mixing
from keras_kd.soft_labels.augmentation.marks import BATCHED, MIXING, PER_IMAGE, call_of


@pytest.mark.parametrize(
    ("mark", "call"), [(lambda f: f, PER_IMAGE), (batched, BATCHED), (mixing, MIXING)]
)
def test_a_mark_says_how_a_function_is_called(mark, call):
    def function(*args, strength=1):
        return args

    assert mark(function) is function
    assert call_of(function) == call
    assert call_of(functools.partial(function, strength=2)) == call
