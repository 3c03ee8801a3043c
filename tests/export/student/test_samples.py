import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.export.student import samples
from keras_kd.export.student.signature import Signature
from keras_kd.teachers import batch

X = np.arange(40.0, dtype="float32").reshape(10, 4)
Y = np.arange(10)


@pytest.fixture(scope="module")
def one():
    x = keras.Input((4,), name="x")
    return Signature.of(keras.Model(x, keras.layers.Dense(2)(x)), 1)


@pytest.fixture(scope="module")
def two(two_by_two):
    return Signature.of(two_by_two, 1)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])


def answered(x, y):
    return batch.with_answers(x, {"output": tf.zeros((len(X), 2))}), y


FORMS = {
    "array": lambda: X,
    "array and labels": lambda: (X, Y),
    "array, labels and weights": lambda: (X, Y, Y),
    "tensor": lambda: tf.constant(X),
    "dict": lambda: {"x": X},
    "batches": lambda: dataset(X, Y).batch(4),
    "single samples": lambda: dataset(X, Y),
    "batches without labels": lambda: dataset(X).batch(4),
    "batches of dicts": lambda: dataset({"x": X}, Y).batch(3),
    "batches with a teacher's answers": lambda: dataset(*answered(X, Y)).batch(4),
    "single samples with answers": lambda: dataset(*answered(X, Y)),
    "generator": lambda: (X[i : i + 4] for i in (0, 4, 8)),
    "generator of lists": lambda: ([row[None]] for row in X),
    "function": lambda: lambda: ((row, label) for row, label in zip(X, Y)),
    "Keras' dataset": Batches,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_one_input_in_every_form(one, form):
    arrays, y = samples.read(one, form(), "calibration")
    assert list(arrays) == ["x"]
    np.testing.assert_array_equal(arrays["x"], X)
    if y is not None:
        np.testing.assert_array_equal(y, Y)


@pytest.mark.parametrize("form", [name for name in FORMS if "labels" in name and "out" not in name])
def test_labels_come_beside(one, form):
    np.testing.assert_array_equal(samples.read(one, FORMS[form](), "verify")[1], Y)


def test_several_inputs_and_labels_by_output(two, pairs):
    y = {"small": np.arange(120), "big": np.arange(120)}
    by_name = dict(zip(("wide", "narrow"), pairs))
    for form in (
        (pairs, y),
        (by_name, y),
        dataset(by_name, y).batch(50),
        dataset(tuple(pairs), y),
    ):
        arrays, labels = samples.read(two, form, "verify")
        for name, want in by_name.items():
            np.testing.assert_array_equal(arrays[name], want)
        np.testing.assert_array_equal(labels["big"], y["big"])


def test_a_stream_is_left_after_enough_samples(one):
    arrays, _ = samples.read(one, dataset(X).batch(4).repeat(), "calibration", most=13)
    np.testing.assert_array_equal(arrays["x"], np.concatenate([X, X[:3]]))


def test_arrays_are_read_whole(one):
    assert len(samples.read(one, X, "calibration", most=3)[0]["x"]) == 10


def test_a_dataset_that_never_ends(one):
    with pytest.raises(ValueError, match=r"verify must have an end.*take\(batches\)"):
        samples.read(one, dataset(X).batch(4).repeat(), "verify")


@pytest.mark.parametrize("empty", [lambda: iter([]), lambda: dataset(X).take(0), lambda: X[:0]])
def test_nothing_to_read(one, empty):
    with pytest.raises(ValueError, match="calibration must hold at least one sample"):
        samples.read(one, empty(), "calibration")


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        ("samples.npy", TypeError, "must be a numeric array"),
        (lambda: iter([X[:, :3]]), ValueError, "must hold samples of the input's shape"),
        (lambda: iter([X[0] * np.nan]), ValueError, "must hold finite numbers"),
        (lambda: iter([{"y": X}]), ValueError, "must give one array for each input"),
    ],
)
def test_wrong_samples_in_a_stream(one, data, error, match):
    with pytest.raises(error, match=match):
        samples.read(one, data, "calibration")


@pytest.fixture(scope="module")
def ranks():
    """Inputs of different ranks, whose alphabetical order is not the model's."""
    long, short = keras.Input((5, 3), name="b_long"), keras.Input((4,), name="a_short")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(long), short])
    return Signature.of(keras.Model([long, short], keras.layers.Dense(2)(joined)), 1)


def test_dicts_are_paired_by_name(ranks):
    x = {"b_long": np.ones((6, 5, 3), "float32"), "a_short": np.ones((6, 4), "float32")}
    for form in (dataset(x).batch(4), dataset(x), dataset(x, np.arange(6))):
        arrays, _ = samples.read(ranks, form, "verify")
        assert {name: array.shape for name, array in arrays.items()} == {
            "b_long": (6, 5, 3),
            "a_short": (6, 4),
        }


def test_a_function_whose_dataset_never_ends(one):
    with pytest.raises(ValueError, match="verify must have an end"):
        samples.read(one, lambda: dataset(X).batch(4).repeat(), "verify")
