"""Which output of a file teaches."""

import pytest

from keras_kd.teachers.files import chosen, is_of_classes


def test_rows_of_classes_are_usable():
    assert is_of_classes(None)
    assert is_of_classes((None, None))
    assert not is_of_classes((None,))
    assert not is_of_classes((None, 7, 7, 3))


def test_the_only_output_of_classes_is_chosen():
    assert chosen({"label": (None,), "scores": (None, 3)}, None) == ("scores", 3)
    assert chosen({"a": (None, 3), "b": None}, "b") == ("b", None)
    with pytest.raises(ValueError, match="Convert the model again, up to its classes"):
        chosen({"boxes": (None, 100, 4)}, None)
