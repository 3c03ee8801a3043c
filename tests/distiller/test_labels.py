"""Labels that miss (-1): hard loss and metrics go without them, the terms keep on."""

import keras
import numpy as np
import pytest
from keras import layers, losses

from keras_kd import Distiller, Term
from keras_kd.distiller.label_rules import rules
from keras_kd.losses import SoftTargets
from tests.distiller.labelled import CROSS_ENTROPY, some_missing

METRICS = [
    lambda: "accuracy",
    lambda: keras.metrics.SparseTopKCategoricalAccuracy(2, name="top"),
    lambda: keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="entropy"),
]


def test_missing_labels_are_as_if_the_examples_were_not_there(data, logs_of):
    x, y = data
    missing = some_missing(y)
    there = missing >= 0
    compiled = {"loss": CROSS_ENTROPY}
    for add in ("metrics", "weighted_metrics"):
        compiled[add] = [metric() for metric in METRICS]
        partly = logs_of(x, missing, **compiled)
        whole = logs_of(x[there], y[there], **compiled)
        for part, all_of_it in zip(partly, whole):
            for name in all_of_it.keys() - {"loss", "soft_targets"}:
                assert part[name] == pytest.approx(all_of_it[name], rel=1e-5), name
        assert partly[1]["loss"] == pytest.approx(whole[1]["loss"], rel=1e-5)
        trained = partly[0]
        expected = 0.1 * trained["hard_loss"] + 0.9 * trained["soft_targets"]
        assert trained["loss"] == pytest.approx(expected, rel=1e-5)


def ragged():
    """Labels of 24 examples: 8 of the first batch miss 6, of the second all, of the third none."""
    return np.where(np.isin(np.arange(24), [2, 5, *range(16, 24)]), 1, -1)


@pytest.fixture
def over_batches(net):
    """Returns `f(x, y)`: an untrained student's means over the labels there are, and its logs."""

    def run(x, y, build=lambda model: model(), size=8, **compiled):
        distiller = build(lambda: Distiller(student=net(), teacher=net()))
        build(lambda: distiller.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY, **compiled))
        fit = {"batch_size": size, "shuffle": False, "verbose": 0}
        logs = distiller.fit(
            x, y, validation_data=(x, y), validation_batch_size=size, **fit
        ).history
        logits = np.asarray(distiller.student(x), "float64")
        log_q = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return -log_q[np.arange(len(y)), y][y >= 0].mean(), {k: v[0] for k, v in logs.items()}

    return run


@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}, {"jit_compile": True}])
def test_the_logs_weigh_batches_by_their_labels(data, over_batches, how):
    expected, logs = over_batches(data[0], ragged(), **how)
    assert logs["hard_loss"] == pytest.approx(expected, rel=1e-5)
    assert logs["val_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.tensorflow
def test_the_logs_weigh_replicas_by_their_labels(data, over_batches, two_replicas):
    def build(made):
        with two_replicas.scope():
            return made()

    # One batch, for metrics of several on replicas go wrong in Keras 3.8.
    expected, logs = over_batches(data[0], ragged(), build, size=24)
    assert logs["hard_loss"] == pytest.approx(expected, rel=1e-5)
    assert logs["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_outputs_without_labels_of_their_own_weigh_nothing(data):
    x, _ = data
    y = ragged()
    inputs = keras.Input((4,))

    def model():
        return keras.Model(inputs, {name: layers.Dense(3, name=name)(inputs) for name in "ab"})

    student = model()
    distiller = Distiller(student=student, teacher=model())
    distiller.compile("sgd", loss={"a": CROSS_ENTROPY, "b": None})
    logs = distiller.evaluate(x, {"a": y, "b": y}, batch_size=8, verbose=0, return_dict=True)
    log_q = np.asarray(keras.ops.log_softmax(student(x)["a"]), "float64")
    expected = -log_q[np.arange(24), y][y >= 0].mean()
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_terms_keep_every_example(data, logs_of):
    x, y = data
    known, missing = (
        logs_of(x, y, loss=CROSS_ENTROPY),
        logs_of(x, some_missing(y), loss=CROSS_ENTROPY),
    )
    assert missing[0]["soft_targets"] == pytest.approx(known[0]["soft_targets"], rel=1e-6)


def test_no_label_at_all_leaves_the_teacher_alone(data, logs_of):
    x, y = data
    trained, evaluated = logs_of(x, np.full_like(y, -1), loss=CROSS_ENTROPY, metrics=["accuracy"])
    assert trained["hard_loss"] == evaluated["loss"] == 0.0
    assert trained["loss"] == pytest.approx(0.9 * trained["soft_targets"], rel=1e-6)


def test_minus_one_equals_keras_own_ignore_class(data, logs_of):
    x, y = data
    ignoring = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=7)
    ours = logs_of(x, some_missing(y), loss=CROSS_ENTROPY)
    theirs = logs_of(x, np.where(some_missing(y) < 0, 7, y), loss=ignoring)
    for a, b in zip(ours, theirs):
        assert a == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize(("dtype", "shape"), [("int8", (-1,)), ("int64", (-1, 1)), ("float32", -1)])
def test_ids_of_any_dtype_and_shape(data, logs_of, shape, dtype):
    x, y = data
    y = some_missing(y)
    expected = logs_of(x, y, loss=CROSS_ENTROPY, metrics=["accuracy"])
    given = logs_of(x, y.astype(dtype).reshape(shape), loss=CROSS_ENTROPY, metrics=["accuracy"])
    assert given[0] == pytest.approx(expected[0], rel=1e-6)


def test_sample_weights_stay_weights_beside_missing_labels(data, logs_of):
    x, y = data
    missing, weight = some_missing(y), np.linspace(0.5, 2, 24).astype("float32")
    there = missing >= 0
    compiled = {"loss": CROSS_ENTROPY, "weighted_metrics": ["accuracy"]}
    partly = logs_of(x, missing, weight, **compiled)
    whole = logs_of(x[there], y[there], weight[there], **compiled)
    for name in ("hard_loss", "accuracy"):
        assert partly[0][name] == pytest.approx(whole[0][name], rel=1e-5)


def test_positions_of_sequences_may_miss(logs_of):
    def model():
        tokens = keras.Input((5, 4))
        return keras.Model(tokens, layers.Dense(3)(tokens))

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 5, 4)).astype("float32"), rng.integers(-1, 3, (6, 5))
    trained, evaluated = logs_of(x, y, model=model, loss=CROSS_ENTROPY, metrics=["accuracy"])
    keras.utils.set_random_seed(2)
    logits = np.asarray(model()(x), "float64")
    log_q = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    there = y >= 0
    hard = -np.take_along_axis(log_q, np.maximum(y, 0)[..., None], -1)[..., 0][there].mean()
    assert trained["hard_loss"] == pytest.approx(hard, rel=1e-5)
    right = (logits.argmax(-1) == y)[there].mean()
    assert trained["accuracy"] == pytest.approx(right, rel=1e-6)
    assert evaluated["accuracy"] == pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize("units", [1, 3])
def test_binary_labels_may_miss_by_example(net, data, units):
    x, _ = data
    y = np.random.default_rng(1).integers(0, 2, (24, units))
    missing = np.where(np.arange(24)[:, None] % 3 == 0, -1, y)
    there = missing[:, 0] >= 0
    logs = []
    for inputs, labels in ((x, missing), (x[there], y[there])):
        keras.utils.set_random_seed(2)
        distiller = Distiller(student=net(units, "sigmoid"), teacher=net(units, "sigmoid"))
        distiller.compile("sgd", loss="binary_crossentropy", metrics=["binary_accuracy"])
        logs.append(distiller.evaluate(inputs, labels, verbose=0, return_dict=True))
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)


def test_outputs_miss_labels_one_by_one(data):
    x, y = data
    inputs = keras.Input((4,))

    def model():
        return keras.Model(inputs, {name: layers.Dense(3, name=name)(inputs) for name in "ab"})

    missing = some_missing(y)
    distiller = Distiller(student=model(), teacher=model())
    distiller.compile(
        "sgd", loss={"a": CROSS_ENTROPY, "b": CROSS_ENTROPY}, metrics={"a": ["accuracy"]}
    )
    both = distiller.evaluate(x, {"a": missing, "b": y}, verbose=0, return_dict=True)
    there = missing >= 0
    alone = distiller.evaluate(
        x[there], {"a": y[there], "b": y[there]}, verbose=0, return_dict=True
    )
    whole = distiller.evaluate(x, {"a": y, "b": y}, verbose=0, return_dict=True)
    assert both["a_loss"] == pytest.approx(alone["a_loss"], rel=1e-5)
    assert both["a_accuracy"] == pytest.approx(alone["a_accuracy"], rel=1e-5)
    assert both["b_loss"] == pytest.approx(whole["b_loss"], rel=1e-6)


def test_what_takes_class_ids(net):
    heads = Distiller(student=net(), teacher=net())._logits.heads
    mse = [Term(losses.MeanSquaredError())]
    assert rules({"output": "mse"}, heads, mse) == {}
    assert rules({}, heads, [Term(SoftTargets())])["output"].floats is False
    assert rules({"output": "crossentropy"}, heads, mse)["output"].floats
    assert rules({"output": losses.BinaryCrossentropy(from_logits=True)}, heads, mse)[
        "output"
    ].binary
    ignoring = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    assert rules({"output": ignoring}, heads, mse)["output"].ignored == 255


def test_weights_without_labels_weigh_the_terms(net, data):
    x, y = data
    weights = np.linspace(0, 2, 24).astype("float32")
    logs = []
    for labels in (None, y):
        keras.utils.set_random_seed(2)
        distiller = Distiller(student=net(), teacher=net())
        distiller.compile(keras.optimizers.SGD(0.0))
        history = distiller.fit(x, labels, sample_weight=weights, batch_size=24, verbose=0).history
        logs.append(history["soft_targets"][0])
    assert logs[0] == pytest.approx(logs[1], rel=1e-6)


@pytest.mark.parametrize("compiled", [{"loss": "mse"}, {"metrics": ["mae"]}])
def test_weights_without_labels_compare_nothing(net, data, compiled):
    terms = [losses.MeanSquaredError()]
    distiller = Distiller(student=net(), teacher=net(), terms=terms)
    distiller.compile("sgd", **compiled)
    with pytest.raises(ValueError, match="y must hold labels for the loss and the metrics"):
        distiller.fit(data[0], sample_weight=np.ones(24), verbose=0)


def test_without_labels_metrics_wait_for_the_validation(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", metrics=["accuracy"], alpha=0.1, temperature=4.0)
    history = distiller.fit(x, validation_data=(x, y), epochs=2, verbose=0).history
    assert set(history) == {"loss", "soft_targets", "val_accuracy"}
    accuracy = distiller.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]
    assert history["val_accuracy"][-1] == pytest.approx(accuracy)


def test_a_loss_needs_labels_in_the_evaluation_too(net, data):
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(ValueError, match="y must hold labels for the loss"):
        distiller.evaluate(data[0], verbose=0)


def test_without_a_loss_the_metrics_skip_what_is_missing(data, net):
    x, y = data
    there = some_missing(y) >= 0
    for end, metric in (("softmax", "accuracy"), ("sigmoid", "binary_accuracy")):
        rows = np.eye(3, dtype="float32")[y]
        rows[~there] = -1
        distiller = Distiller(student=net(activation=end), teacher=net(activation=end))
        distiller.compile("sgd", metrics=[metric])
        partly, whole = (
            distiller.evaluate(*each, verbose=0) for each in ((x, rows), (x[there], rows[there]))
        )
        assert partly == pytest.approx(whole, rel=1e-6)
