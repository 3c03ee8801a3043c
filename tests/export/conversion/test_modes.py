import pytest

from keras_kd.export.conversion.modes import MODES, io_dtype_of, mode_of


def test_the_facts_of_each_mode():
    assert {name: (mode.tolerance, mode.weight_bytes) for name, mode in MODES.items()} == {
        "float32": (1e-4, 4),
        "float16": (1e-2, 2),
        "dynamic": (0.05, 1),
        "int8": (0.15, 1),
        "int16x8": (0.05, 1),
    }
    assert [name for name, mode in MODES.items() if mode.calibrated] == ["int8", "int16x8"]


@pytest.mark.parametrize("unknown", ["int4", None, 8, ["int8"]])
def test_unknown_quantization_lists_the_known_ones(unknown):
    with pytest.raises(
        ValueError, match=r"quantization must .*'float32', 'float16', 'dynamic', 'int8', 'int16x8'"
    ):
        mode_of(unknown)


@pytest.mark.parametrize(
    ("quantization", "given", "becomes"),
    [
        ("float32", None, None),
        ("int8", None, "int8"),
        ("int8", "uint8", "uint8"),
        ("int8", "float32", "float32"),
        ("float16", None, None),
        ("int16x8", None, "int16"),
        ("int16x8", "float32", "float32"),
    ],
)
def test_io_dtype(quantization, given, becomes):
    assert io_dtype_of(MODES[quantization], given) == becomes


@pytest.mark.parametrize(
    ("quantization", "given"),
    [("float32", "float32"), ("dynamic", "int8"), ("int8", "int16"), ("int8", 8)],
)
def test_io_dtype_must_suit_the_mode(quantization, given):
    with pytest.raises(
        ValueError, match=r"io_dtype must suit .*Received: '?(float32|int8|int16|8)"
    ):
        io_dtype_of(MODES[quantization], given)
