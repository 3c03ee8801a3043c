import pytest

from keras_kd.export.modes import MODES, io_dtype_of, mode_of


def test_the_facts_of_each_mode():
    assert {name: mode.tolerance for name, mode in MODES.items()} == {"float32": 1e-4, "int8": 0.15}
    assert [mode.weight_bytes for mode in MODES.values()] == [4, 1]


@pytest.mark.parametrize("unknown", ["int4", None, 8, ["int8"]])
def test_unknown_quantization_lists_the_known_ones(unknown):
    with pytest.raises(ValueError, match=r"quantization must .*'float32', 'int8'"):
        mode_of(unknown)


@pytest.mark.parametrize(
    ("quantization", "given", "becomes"),
    [
        ("float32", None, None),
        ("int8", None, "int8"),
        ("int8", "uint8", "uint8"),
        ("int8", "float32", "float32"),
    ],
)
def test_io_dtype(quantization, given, becomes):
    assert io_dtype_of(MODES[quantization], given) == becomes


@pytest.mark.parametrize(
    ("quantization", "given"), [("float32", "float32"), ("int8", "int16"), ("int8", 8)]
)
def test_io_dtype_must_suit_the_mode(quantization, given):
    with pytest.raises(ValueError, match=r"io_dtype must suit .*Received: '?(float32|int16|8)"):
        io_dtype_of(MODES[quantization], given)
