"""A Term gives its loss the labels and the mask that the loss needs."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term
from keras_kd.losses import DIST, NKD, DecoupledKD

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
DENSE = keras.losses.CategoricalCrossentropy(from_logits=True)


def mean_of(values):
    return np.mean(np.asarray(values))


@pytest.mark.parametrize("loss", [DecoupledKD(temperature=2.0), NKD()])
@pytest.mark.parametrize("labels", ["ids", "column", "one-hot", "smoothed", "some missing", "none"])
def test_labels_of_every_kind(net, data, frozen, loss, labels):
    x, y = data
    ids, hard = y, SPARSE
    given = y
    if labels == "column":
        given = y[:, None]
    elif labels in ("one-hot", "smoothed"):
        share = 1.0 if labels == "one-hot" else 0.8
        given, hard = share * np.eye(3, dtype="float32")[y] + (1 - share) / 3, DENSE
    elif labels == "some missing":
        given = ids = np.where(np.arange(24) % 3 == 0, -1, y)
    elif labels == "none":
        given = ids = hard = None
    student, teacher = net(), net(width=32)
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[loss]), hard)(x, given)
    t, s = teacher(x), student(x)
    expected = np.mean(
        np.asarray(loss.call(t if ids is None else {"teacher": t, "labels": ids}, s))
    )
    assert logs[loss.name] == pytest.approx(expected, rel=1e-5)
    teachers_own = mean_of(loss.call(t, s))
    assert (abs(expected - teachers_own) > 1e-3) == (ids is not None)


def test_labels_by_output(data, frozen):
    x, y = data
    inputs = keras.Input((4,))

    def model():
        return keras.Model(inputs, {name: layers.Dense(3, name=name)(inputs) for name in "ab"})

    terms = [Term(DecoupledKD(), output=name) for name in "ab"]
    student, teacher = model(), model()
    run = frozen(Distiller(student=student, teacher=teacher, terms=terms), [SPARSE, SPARSE])
    labels = {"a": y, "b": (y + 1) % 3}
    logs = run(x, labels)
    for name in "ab":
        answer = {"teacher": teacher(x)[name], "labels": labels[name]}
        expected = mean_of(DecoupledKD().call(answer, student(x)[name]))
        assert logs[f"{name}_decoupled_kd"] == pytest.approx(expected, rel=1e-5)


def test_dist_correlates_over_what_is_not_padding(frozen):
    def model():
        tokens = keras.Input((5,), dtype="int32")
        embedding = layers.Embedding(9, 4, "random_normal", mask_zero=True)(tokens)
        return keras.Model(tokens, layers.Dense(3)(layers.Rescaling(50.0)(embedding)))

    rng = np.random.default_rng(0)
    x = rng.integers(1, 9, (8, 5))
    x[np.arange(5) >= rng.integers(1, 5, 8)[:, None]] = 0
    student, teacher = model(), model()
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[DIST()]))(x)
    there = x != 0
    t, s = (np.asarray(net(x))[there] for net in (teacher, student))
    assert logs["dist"] == pytest.approx(mean_of(DIST().call(t, s)), rel=1e-4)


def test_pixels_without_label_teach_by_the_teachers_top_class(frozen):
    def model():
        image = keras.Input((4, 4, 3))
        return keras.Model(image, layers.Conv2D(5, 1)(image))

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 4, 3)).astype("float32"), rng.integers(0, 5, (2, 4, 4))
    y[:, :2] = 255
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    student, teacher = model(), model()
    terms = [DecoupledKD()]
    logs = frozen(Distiller(student=student, teacher=teacher, terms=terms), hard)(x, y)
    answer = {"teacher": teacher(x), "labels": np.where(y == 255, -1, y)}
    expected = mean_of(DecoupledKD().call(answer, student(x)))
    assert logs["decoupled_kd"] == pytest.approx(expected, rel=1e-5)
