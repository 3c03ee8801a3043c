"""What losses take besides the pair of logits: labels, with a fall-back, and masks."""

import keras
import numpy as np
import pytest

from keras_kd.losses import DIST, NKD, DecoupledKD

pytestmark = pytest.mark.numbers

with_labels = pytest.mark.parametrize("loss", [DecoupledKD(), NKD()], ids=["dkd", "nkd"])
SHAPES = [(6,), (2, 3), (2, 1, 3)]  # examples, sequences, maps


@pytest.fixture
def pair():
    """Returns logits of 6 positions and 5 classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 6, 5)).astype("float32") * 3


@pytest.fixture
def wrong(pair):
    """Returns labels that are nowhere the teacher's top class."""
    return (pair[0].argmax(-1) + 1) % 5


@with_labels
@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_label_the_teachers_top_class_is_the_target(loss, pair, wrong, shape):
    teacher, student = pair.reshape(2, *shape, 5)
    top = teacher.argmax(-1)
    expected = np.asarray(loss.call({"teacher": teacher, "labels": top}, student))
    none = np.full(shape, -1)
    for y_true in (
        teacher,
        {"teacher": teacher},
        {"teacher": teacher, "labels": None, "mask": None},
        {"teacher": teacher, "labels": none},
    ):
        np.testing.assert_array_equal(loss.call(y_true, student), expected)
        np.testing.assert_allclose(loss(y_true, student), np.mean(expected), rtol=1e-6)
    labels = wrong.reshape(shape)
    labelled = np.asarray(loss.call({"teacher": teacher, "labels": labels}, student))
    assert np.abs(labelled - expected).min() > 1e-3
    some = np.arange(6).reshape(shape) % 2 == 0
    values = loss.call({"teacher": teacher, "labels": np.where(some, labels, -1)}, student)
    np.testing.assert_array_equal(values, np.where(some, labelled, expected))


@with_labels
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "float16", "float32"])
def test_labels_may_have_any_dtype_and_a_last_axis_of_1(loss, pair, wrong, dtype):
    teacher, student = pair
    expected = loss.call({"teacher": teacher, "labels": wrong}, student)
    for labels in (wrong.astype(dtype), wrong.astype(dtype)[:, None]):
        np.testing.assert_array_equal(
            loss.call({"teacher": teacher, "labels": labels}, student), expected
        )


@with_labels
@pytest.mark.parametrize("label", [255, -100, 5])
def test_ids_outside_the_classes_are_no_labels(loss, pair, label):
    teacher, student = pair
    values = loss.call({"teacher": teacher, "labels": np.full(6, label)}, student)
    np.testing.assert_array_equal(values, loss.call(teacher, student))


@with_labels
def test_labels_compile(loss, pair, wrong, compiled):
    teacher, student = map(keras.ops.convert_to_tensor, pair)
    labels = keras.ops.convert_to_tensor(wrong)
    function = compiled(lambda t, y, s: loss({"teacher": t, "labels": y}, s))
    np.testing.assert_allclose(
        function(teacher, labels, student),
        loss({"teacher": teacher, "labels": labels}, student),
        rtol=1e-5,
    )


@with_labels
def test_labels_must_fit_the_logits(loss, pair, wrong):
    teacher, student = pair
    for labels in (np.eye(5)[wrong], wrong[:3], np.int32(1)):
        with pytest.raises(ValueError, match="labels must have one entry per example"):
            loss.call({"teacher": teacher, "labels": labels}, student)


@with_labels
def test_other_dicts_are_refused(loss, pair):
    teacher, student = pair
    for y_true in ({"labels": [1]}, {"teacher": teacher, "label": [1]}, {}):
        with pytest.raises(ValueError, match="y_true must be the teacher's signal, or a dict"):
            loss.call(y_true, student)


@pytest.mark.parametrize("padding", [0.0, 7.0, float("inf"), float("nan")])
@pytest.mark.parametrize("shape", SHAPES)
def test_positions_outside_the_mask_change_nothing(pair, value_and_gradient, shape, padding):
    valid = np.array([1, 1, 0, 1, 0, 1], bool)
    short, loss = pair[:, valid], DIST()
    padded = np.where(valid[:, None], pair, np.float32(padding)).reshape(2, *shape, 5)
    mask = valid.reshape(shape)

    def total(student):
        values = loss.call({"teacher": padded[0], "mask": mask}, student)
        return keras.ops.sum(values * keras.ops.convert_to_tensor(mask, "float32"))

    value, gradient = value_and_gradient(total, padded[1])
    expected, slope = value_and_gradient(
        lambda s: keras.ops.sum(loss.call(short[0], s)), np.asarray(short[1])
    )
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient[mask], slope, rtol=1e-4, atol=1e-6)
    assert (gradient[~mask] == 0).all()


@pytest.mark.parametrize("dtype", ["bool", "int32", "float32"])
def test_a_mask_may_have_any_dtype(pair, dtype):
    teacher, student = pair
    values = DIST().call({"teacher": teacher, "mask": np.ones(6, dtype)}, student)
    np.testing.assert_allclose(values, DIST().call(teacher, student), rtol=1e-5)
    half = np.arange(6) < 3
    values = DIST().call({"teacher": teacher, "mask": half.astype(dtype)}, student)
    np.testing.assert_allclose(values[:3], DIST().call(teacher[:3], student[:3]), rtol=1e-5)


def test_an_empty_mask_is_finite(pair, value_and_gradient):
    y_true = {"teacher": pair[0], "mask": np.zeros(6, bool)}
    value, gradient = value_and_gradient(lambda s: DIST()(y_true, s), pair[1])
    assert np.isfinite(value)
    assert (gradient == 0).all()


def test_a_mask_must_fit_the_logits(pair):
    with pytest.raises(ValueError, match="mask must have one entry per example"):
        DIST().call({"teacher": pair[0], "mask": np.ones(5)}, pair[1])
