"""Labels under a loss of the user's own, which may mean something else by them."""

import keras
import numpy as np
import pytest
from keras import layers, losses

from keras_kd import Distiller, Term
from keras_kd.losses import SoftTargets
from tests.distiller.labelled import CROSS_ENTROPY, Batches, some_missing


def test_a_loss_of_the_users_own_may_reduce_positions(logs_of):
    def model():
        tokens = keras.Input((5, 4))
        return keras.Model(tokens, layers.Dense(3)(tokens))

    def by_sequence(y, z):
        values = losses.sparse_categorical_crossentropy(y, z, from_logits=True)
        return keras.ops.mean(values, axis=-1)

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 5, 4)).astype("float32"), rng.integers(0, 3, (6, 5))
    own = logs_of(x, y, model=model, loss=by_sequence)
    stock = logs_of(x, y, model=model, loss=CROSS_ENTROPY)
    assert own[0] == pytest.approx(stock[0], rel=1e-5)


class OwnMean(losses.Loss):
    def call(self, y, z):
        return keras.ops.mean(CROSS_ENTROPY.call(y, z))


def own_mean(y, z):
    return CROSS_ENTROPY(y, z)


def own_mean_of_shape_1(y, z):
    return keras.ops.reshape(CROSS_ENTROPY(y, z), (1,))


@pytest.mark.parametrize("loss", [OwnMean(), own_mean, own_mean_of_shape_1])
@pytest.mark.parametrize(
    "structure", [lambda loss: loss, lambda loss: [loss]], ids=["loss", "list"]
)
def test_a_mean_of_the_users_own_cannot_leave_labels_out(net, data, logs_of, loss, structure):
    x, y = data
    one, other = logs_of(x, y, loss=structure(loss)), logs_of(x, y, loss=CROSS_ENTROPY)
    for a, b in zip(one, other):
        assert a == pytest.approx(b, rel=1e-6)
    message = "A loss of your own must give each example its value where labels miss.*a scalar"
    missing = np.where(np.arange(24) == 13, -1, y)
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=structure(loss))
    with pytest.raises(ValueError, match=message + r".*batch 3 of epoch 1 \(index 2\)"):
        distiller.fit(x, missing, batch_size=6, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=message + ".*batch 3 of the evaluation"):
        distiller.evaluate(x, missing, batch_size=6, verbose=0)


@pytest.mark.parametrize("eager", [False, True])
def test_values_of_the_users_own_leave_labels_out(data, logs_of, eager):
    class Own(losses.Loss):
        def call(self, y, z):
            return CROSS_ENTROPY.call(y, z)

    x, y = data
    for own in (Own(), lambda y, z: CROSS_ENTROPY.call(y, z)):
        given = logs_of(x, some_missing(y), loss=own, run_eagerly=eager)
        stock = logs_of(x, some_missing(y), loss=CROSS_ENTROPY)
        for a, b in zip(given, stock):
            assert a == pytest.approx(b, rel=1e-6)


def test_one_loss_of_the_users_own_for_several_outputs(data):
    x, y = data
    inputs = keras.Input((4,))

    def model():
        return keras.Model(inputs, {name: layers.Dense(3, name=name)(inputs) for name in "ab"})

    labels = {"a": y, "b": some_missing(y)}
    student, teacher, values = model(), model(), []
    for loss in (lambda y, z: CROSS_ENTROPY.call(y, z), CROSS_ENTROPY):
        distiller = Distiller(student=student, teacher=teacher)
        distiller.compile("sgd", loss=loss)
        values.append(distiller.evaluate(x, labels, verbose=0))
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_ids_that_a_loss_of_the_users_own_handles(net, data, logs_of):
    def without_void(y, z):
        there = keras.ops.cast(y != 255, "float32")
        ids = keras.ops.where(y == 255, 0, y)
        return there * losses.sparse_categorical_crossentropy(ids, z, from_logits=True)

    x, y = data
    logs = logs_of(x, np.where(some_missing(y) < 0, 255, y), loss=without_void)
    assert np.isfinite(logs[0]["hard_loss"])


def own_cross_entropy(y, z):
    return -keras.ops.sum(keras.ops.cast(y, z.dtype) * keras.ops.log_softmax(z), axis=-1)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_rows_of_minus_one_miss_under_a_loss_of_the_users_own(data, logs_of, dtype):
    x, y = data
    rows = np.eye(3)[y]
    rows[::3] = -1
    there = np.arange(len(y)) % 3 > 0
    logs, evaluated = logs_of(x, rows.astype(dtype), loss=own_cross_entropy)
    expected, _ = logs_of(x[there], rows[there].astype(dtype), loss=own_cross_entropy)
    assert logs["hard_loss"] == pytest.approx(expected["hard_loss"], rel=1e-5)
    assert evaluated["loss"] == pytest.approx(expected["hard_loss"], rel=1e-5)


def test_rows_of_minus_one_are_numbers_where_nothing_says_classes(data):
    x, _ = data
    rows = np.full((len(x), 3), -1.0, "float32")
    terms = [Term(losses.MeanSquaredError())]
    keras.utils.set_random_seed(2)
    student = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    distiller = Distiller(student=student, teacher=keras.models.clone_model(student), terms=terms)
    distiller.compile(keras.optimizers.SGD(0.0), loss="mse")
    logs = distiller.fit(x, rows, batch_size=len(x), verbose=0).history
    expected = np.mean((student.predict(x, verbose=0) + 1) ** 2)
    assert logs["hard_loss"][0] == pytest.approx(expected, rel=1e-5)


def own_squares(y, z):
    y = keras.ops.reshape(y, (-1, keras.ops.size(y) // keras.ops.shape(z)[0]))
    return keras.ops.mean(keras.ops.square(z - keras.ops.cast(y, z.dtype)), axis=-1)


@pytest.mark.parametrize("shape", [(24, 3), (24, 1), (24,)])
@pytest.mark.parametrize("source", ["arrays", "batches"])
def test_numbers_are_not_softened_as_classes(net, data, shape, source):
    x, numbers = data[0], np.random.default_rng(0).normal(size=shape).astype("float32") * 3
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=own_squares)
    message = r"Labels under a loss of your own must be classes.*terms=\[keras.losses.Mean"
    given = (x, numbers) if source == "arrays" else (Batches(x, numbers, 8),)
    with pytest.raises(ValueError, match=message):
        distiller.fit(*given, verbose=0)
    squares = Distiller(student=net(), teacher=net(), terms=[losses.MeanSquaredError()])
    squares.compile("sgd", loss=own_squares)
    squares.fit(x, numbers, verbose=0)


def unreduced_squares(y, z):
    y = keras.ops.reshape(y, (-1, keras.ops.size(y) // keras.ops.shape(z)[0]))
    return keras.ops.square(z - keras.ops.cast(y, z.dtype))


@pytest.mark.parametrize("shape", [(24,), (24, 1)])
def test_float_ids_may_be_compared_class_by_class(net, data, logs_of, shape):
    x, y = data
    logs = logs_of(x, y.astype("float32").reshape(shape), loss=unreduced_squares)[0]
    assert np.isfinite(logs["loss"])


@pytest.mark.parametrize("shape", [(24,), (24, 3)])
def test_nan_is_for_the_loss_to_see_to(net, data, shape):
    def masked(y, z):
        y = keras.ops.reshape(y, (-1, keras.ops.size(y) // keras.ops.shape(z)[0]))
        known = y == y
        return keras.ops.mean(keras.ops.where(known, z - keras.ops.where(known, y, 0.0), 0.0), -1)

    numbers = np.ones(shape, "float32")
    numbers[::3] = np.nan
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=masked)
    assert np.isfinite(distiller.fit(data[0], numbers, verbose=0).history["loss"][0])


@pytest.mark.parametrize("how", ["softmax teacher", "stated head", "terms"])
def test_where_classes_are_certain_the_loss_may_take_numbers(net, data, how):
    teacher = net(activation="softmax" if how == "softmax teacher" else None)
    options = {"stated head": {"student_head": "logits"}, "terms": {"terms": [SoftTargets()]}}
    distiller = Distiller(student=net(), teacher=teacher, **options.get(how, {}))
    distiller.compile("sgd", loss=own_squares)
    votes = np.random.default_rng(0).integers(0, 9, (24, 3)).astype("float32")
    distiller.fit(data[0], votes, verbose=0)


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: np.eye(3, dtype="float32")[y],
        lambda y: 2 * np.eye(3, dtype="int32")[y] - 1,
        lambda y: y.astype("float32"),
        lambda y: y[:, None].astype("float32"),
    ],
    ids=["one-hot", "signs", "float ids", "column of float ids"],
)
def test_labels_of_classes_are_left_to_the_loss(net, data, logs_of, labels):
    x, y = data
    assert np.isfinite(logs_of(x, labels(y), loss=own_squares)[0]["loss"])
