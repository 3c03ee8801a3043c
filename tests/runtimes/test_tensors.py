import numpy as np
import pytest

from keras_kd.runtimes.tensors import TensorInfo, by_name

ONE = (TensorInfo("image", (1, 4), "float32"),)
TWO = (TensorInfo("b", (1, 2), "float32"), TensorInfo("a", (None, 3, None), "int32"))


def test_quantisation_rounds_and_clips():
    tensor = TensorInfo("x", (1, 5), "int8", scale=0.5, zero_point=-3)
    stored = tensor.stored(np.array([[0.0, 0.2, 0.3, 1000.0, -1000.0]], "float32"))
    assert stored.dtype == "int8"
    np.testing.assert_array_equal(stored, [[-3, -3, -2, 127, -128]])
    real = tensor.real(stored)
    assert real.dtype == "float32"
    np.testing.assert_array_equal(real, [[0.0, 0.0, 0.5, 65.0, -62.5]])


def test_without_a_scale_values_pass():
    x = np.array([[1, 2]], "int32")
    assert TWO[1].stored(x) is x
    assert TWO[1].real(x) is x


def test_an_array_a_list_and_a_dict_say_the_same():
    x = np.arange(8).reshape(2, 4)
    for data in (x, [x], {"image": x}, [x.tolist()]):
        arrays = by_name(data, ONE, "x")
        assert list(arrays) == ["image"]
        assert arrays["image"].dtype == "float32"
        np.testing.assert_array_equal(arrays["image"], x)


def test_lists_follow_the_order_of_the_tensors():
    b, a = np.zeros((5, 2)), np.ones((5, 3, 7), "int64")
    for data in ((b, a), {"a": a, "b": b}):
        arrays = by_name(data, TWO, "x")
        assert {name: array.shape for name, array in arrays.items()} == {
            "b": (5, 2),
            "a": (5, 3, 7),
        }
        assert arrays["a"].dtype == "int32"


@pytest.mark.parametrize(
    ("data", "received"),
    [
        (np.zeros((5, 2)), "one ndarray"),
        ([np.zeros((5, 2))], "a list of 1"),
        ({"a": np.zeros((5, 3, 7))}, r"a dict with the keys \['a'\]"),
    ],
)
def test_one_array_for_each_input(data, received):
    with pytest.raises(ValueError, match=rf"x must give one array .*\['b', 'a'\].*{received}"):
        by_name(data, TWO, "x")


@pytest.mark.parametrize("shape", [(4,), (2, 5), (2, 4, 1)])
def test_samples_have_the_shape_of_the_input(shape):
    with pytest.raises(ValueError, match=r"x for the input 'image' must hold .*\('samples', 4\)"):
        by_name(np.zeros(shape), ONE, "x")


@pytest.mark.parametrize("data", [np.array([["a"] * 4]), np.array([[None] * 4]), object()])
def test_data_are_numbers(data):
    with pytest.raises(TypeError, match="x for the input 'image' must be a numeric array"):
        by_name(data, ONE, "x")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_floats_are_finite_in_the_dtype_of_the_input(value):
    with pytest.raises(ValueError, match="must hold finite numbers that fit float32"):
        by_name(np.full((2, 4), value), ONE, "x")


@pytest.mark.parametrize("value", [0.5, 2.0**40, np.nan])
def test_whole_numbers_are_not_rounded(value):
    data = [np.zeros((1, 2)), np.full((1, 3, 1), value)]
    with pytest.raises(ValueError, match="must hold whole numbers that fit int32"):
        by_name(data, TWO, "x")


@pytest.mark.parametrize("lengths", [(0, 0), (2, 3)])
def test_the_same_number_of_samples_for_each_input(lengths):
    data = [np.zeros((lengths[0], 2)), np.zeros((lengths[1], 3, 1))]
    with pytest.raises(ValueError, match="x must hold at least one sample, and the same number"):
        by_name(data, TWO, "x")
