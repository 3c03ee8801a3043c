"""Labels that are no labels are reported; numbers that are none of ours stay."""

import keras
import numpy as np
import pytest
from keras import layers, losses

from keras_kd import Distiller
from keras_kd.distiller.label_rules import Rule, rules
from keras_kd.distiller.labels import read
from keras_kd.losses import MultiLabelSoftTargets
from tests.distiller.labelled import CROSS_ENTROPY, Batches, some_missing


def test_numbers_that_are_no_ids_stay(net, data):
    x, _ = data
    y = np.random.default_rng(0).integers(-5, 5, (24, 3))
    distiller = Distiller(student=net(), teacher=net(), terms=[losses.MeanSquaredError()])
    distiller.compile("sgd", loss="mse")
    expected = np.mean((np.asarray(distiller.student(x)) - y) ** 2)
    assert distiller.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)
    multi = Distiller(student=net(), teacher=net(), terms=[MultiLabelSoftTargets()])
    rule = rules({}, multi._logits.heads, multi.terms)["output"]
    assert read(np.ones((24, 3), "int32"), (None, 3), rule) is None  # one-hot
    assert read(np.ones((24,), "float32"), (None, 3), rule) is None


@pytest.mark.parametrize(
    ("loss", "activation", "wrong"),
    [
        (CROSS_ENTROPY, None, 3),
        (CROSS_ENTROPY, None, -2),
        ("sparse_categorical_crossentropy", "softmax", 255),
        (losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255), None, 254),
    ],
)
def test_labels_outside_of_the_classes(net, data, loss, activation, wrong):
    x, y = data
    y = y.copy()
    y[13] = wrong
    end = {"activation": activation}
    distiller = Distiller(student=net(**end), teacher=net(**end))
    distiller.compile("sgd", loss=loss, metrics=["accuracy"])
    message = "Labels must be ids of the student's classes, or -1 for none.*"
    with pytest.raises(ValueError, match=message + r"batch 3 of epoch 1 \(index 2\)"):
        distiller.fit(Batches(x, y, 6), shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=message + "batch 3 of the evaluation"):
        distiller.evaluate(x, y, batch_size=6, verbose=0)
    for on_batch in (distiller.train_on_batch, distiller.test_on_batch):
        with pytest.raises(ValueError, match=message + "batch 1"):
            on_batch(x, y)


@pytest.mark.parametrize(
    "wrong",
    [np.uint8(255), np.uint32(2**32 - 1), np.uint64(2**32 - 1), np.uint64(2**64 - 1), 1.5, np.nan],
)
def test_no_label_is_bent_into_an_id(net, data, wrong):
    x, y = data
    y = y.astype(np.asarray(wrong).dtype)
    y[3] = wrong
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(ValueError, match="Labels must be ids of the student's classes"):
        distiller.fit(x, y, verbose=0)


def test_rows_of_shares_may_miss_or_be_wrong(data, logs_of):
    x, y = data
    rows = np.eye(3, dtype="float32")[y]
    there = some_missing(y) >= 0
    rows[~there] = -1
    compiled = {"loss": losses.CategoricalCrossentropy(from_logits=True), "metrics": ["accuracy"]}
    partly, whole = logs_of(x, rows, **compiled), logs_of(x[there], rows[there], **compiled)
    for name in ("hard_loss", "accuracy"):
        assert partly[0][name] == pytest.approx(whole[0][name], rel=1e-5)
    assert partly[1] == pytest.approx(whole[1], rel=1e-5)
    rows[1] = [1.5, -0.5, 0.0]
    with pytest.raises(ValueError, match="Labels must be ids"):
        logs_of(x, rows, **compiled)


def test_ignored_labels_are_not_wrong(net, data):
    x, y = data
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=loss)
    distiller.fit(x, np.where(some_missing(y) < 0, 255, y), verbose=0)


def test_binary_labels_that_miss_in_part_are_wrong(net, data):
    x, _ = data
    y = np.zeros((24, 3), "int32")
    y[:, 0] = -1
    distiller = Distiller(student=net(activation="sigmoid"), teacher=net(activation="sigmoid"))
    distiller.compile("sgd", loss="binary_crossentropy")
    with pytest.raises(ValueError, match=r"rows that miss as a whole \(-1 in each place\)"):
        distiller.fit(x, y, verbose=0)


def test_labels_of_other_shapes_are_no_ids():
    rule = Rule(floats=True)
    assert read(np.ones((8, 5), "int32"), (None, 10, 6), rule) is None


ONE_HOT = losses.CategoricalCrossentropy(from_logits=True)


def classifier_for(loss):
    """Builds a network with the end that a loss wants."""
    inputs = keras.Input((4,))
    end = "sigmoid" if loss == "binary_crossentropy" else None
    return keras.Model(inputs, layers.Dense(3, end)(inputs))


@pytest.mark.parametrize("loss", ["binary_crossentropy", ONE_HOT])
def test_boolean_and_float_rows_train_like_whole_numbers(data, logs_of, loss):
    x, y = data
    rows, missing = np.eye(3)[y], np.eye(3)[y]
    missing[some_missing(y) < 0] = -1
    given = {"loss": loss, "metrics": ["accuracy"], "model": lambda: classifier_for(loss)}
    for one, other in (
        (rows.astype(bool), rows.astype("int32")),
        (missing, missing.astype("int32")),
    ):
        for a, b in zip(logs_of(x, one, **given), logs_of(x, other, **given)):
            assert a == pytest.approx(b, rel=1e-6)


@pytest.mark.parametrize("loss", ["binary_crossentropy", ONE_HOT])
def test_masks_of_0_and_255_are_reported(data, loss):
    x, y = data
    rows = np.eye(3, dtype="float32")[y]
    rows[12:18] *= 255
    distiller = Distiller(student=classifier_for(loss), teacher=classifier_for(loss))
    distiller.compile("sgd", loss=loss)
    with pytest.raises(ValueError, match=r"numbers from 0 to 1.*first in batch 3 of epoch 1"):
        distiller.fit(Batches(x, rows, 6), shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=r"numbers from 0 to 1.*first in batch 1"):
        distiller.test_on_batch(x, rows)


def test_masks_of_one_channel_miss_pixel_by_pixel():
    inputs = keras.Input((4, 4, 2))

    def build():
        return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(inputs))

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4, 4, 2)).astype("float32"), rng.choice([0, 1, -1], (6, 4, 4, 1))
    distiller = Distiller(student=build(), teacher=build())
    distiller.compile("sgd", loss="binary_crossentropy", metrics=["binary_accuracy"])
    p = np.asarray(distiller.student(x), "float64")
    there = y >= 0
    expected = -np.log(np.where(y == 1, p, 1 - p))[there].mean(), ((p > 0.5) == y)[there].mean()
    for dtype in ("int32", "float32"):
        logs = distiller.evaluate(x, y.astype(dtype), verbose=0)
        assert logs == pytest.approx(expected, rel=1e-5)


def test_other_marks_of_missing_labels_name_ignore_class(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    labels = np.where(some_missing(y) < 0, -100, y)
    with pytest.raises(ValueError, match=r"ignore_class=-100\); terms still count them"):
        distiller.fit(x, labels, verbose=0)
    ignoring = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    logs = []
    for loss, given in ((ignoring, labels), (CROSS_ENTROPY, some_missing(y))):
        distiller.compile(keras.optimizers.SGD(0.0), loss=loss)
        logs.append(distiller.evaluate(x, given, verbose=0))
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)
