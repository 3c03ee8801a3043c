"""What the loss is: the formula, heads, weights, penalties, masks and its columns in the logs."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.traps.formulas import ALPHA, SPARSE, T, frozen, hard, logs_of, net, soft


def test_01_the_default_loss_is_hintons(system, data):
    x, y = data
    student, teacher = net(), net(width=32)
    model = system.build(student, teacher, default=True, alpha=0.0)
    system.compile(model, frozen(), alpha=0.0)
    assert logs_of(model, x, y)["loss"] == pytest.approx(
        soft(teacher(x), student(x)).mean(), rel=1e-5
    )


def test_02_probabilities_are_not_taken_for_logits(system, data):
    x, y = data
    student, teacher = net(activation="softmax"), net(width=32, activation="softmax")
    model = system.build(student, teacher, alpha=0.0)
    system.compile(model, frozen(), "sparse_categorical_crossentropy", alpha=0.0)
    expected = soft(np.log(teacher(x)), np.log(student(x))).mean()
    assert logs_of(model, x, y)["loss"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="from_logits"):
        system.compile(system.build(net(), net()), loss="sparse_categorical_crossentropy")


def test_03_a_confidently_wrong_student_learns(system, data):
    x, y = data
    student, teacher = net(), net()
    for model, sign in ((student, 1), (teacher, -1)):
        model.layers[-1].set_weights([np.zeros((8, 3)), sign * np.float32([300, -300, 0])])
    model = system.build(student, teacher, alpha=0.0)
    system.compile(model, keras.optimizers.SGD(1.0), alpha=0.0)
    model.fit(x, y, verbose=0)
    bias = student.layers[-1].bias.numpy()
    assert np.isfinite(bias).all()
    assert np.abs(bias - [300, -300, 0]).max() > 0.1


def test_06_weights_weigh_hard_loss_and_terms(system, data):
    x, y = data
    by_class = {0: 0.0, 1: 2.0, 2: 0.5}
    weights = np.float32([0.0, 2.0, 0.5])[y]
    student, teacher = net(), net(width=32)
    model = system.build(student, teacher)
    system.compile(model, frozen())
    h, s = (weights * hard(y, student(x))).mean(), (weights * soft(teacher(x), student(x))).mean()
    expected = ALPHA * h + (1 - ALPHA) * s
    assert logs_of(model, x, y, sample_weight=weights)["loss"] == pytest.approx(expected, rel=1e-5)
    assert logs_of(model, x, y, class_weight=by_class)["loss"] == pytest.approx(expected, rel=1e-5)


def test_07_regularizers_and_added_losses_count(system, data):
    x, y = data

    class Adding(layers.Layer):
        def call(self, inputs):
            self.add_loss(0.125 + 0.0 * keras.ops.sum(inputs))
            return inputs

    inputs = keras.Input((4,))
    dense = layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5))
    student, teacher = keras.Model(inputs, dense(Adding()(inputs))), net()
    model = system.build(student, teacher)
    system.compile(model, frozen())
    blend = ALPHA * hard(y, student(x)).mean() + (1 - ALPHA) * soft(teacher(x), student(x)).mean()
    penalty = 0.5 * np.sum(np.square(dense.kernel)) + 0.125
    assert logs_of(model, x, y)["loss"] == pytest.approx(blend + penalty, rel=1e-5)


def test_08_a_single_term_keeps_its_weight(system, data):
    x, y = data
    student, teacher = net(), net(width=32)
    model = system.build(student, teacher, weights=[0.25])
    system.compile(model, frozen())
    h, s = hard(y, student(x)).mean(), soft(teacher(x), student(x)).mean()
    expected = ALPHA * h + (1 - ALPHA) * 0.25 * s
    assert logs_of(model, x, y)["loss"] == pytest.approx(expected, rel=1e-5)


def test_09_outputs_in_dicts_with_weights_and_metrics(system, data, two_outputs):
    x, y = data
    labels = {"a": y, "b": (y + 1) % 3}
    student, teacher = two_outputs(), two_outputs(32)
    model = system.build(student, teacher, outputs=("a", "b"))
    system.compile(
        model,
        frozen(),
        {"a": SPARSE, "b": SPARSE},
        loss_weights={"a": 2.0, "b": 0.5},
        metrics={"a": ["accuracy"]},
    )
    logs = logs_of(model, x, labels)
    t, s = teacher(x), student(x)
    h = sum(w * hard(labels[n], s[n]).mean() for n, w in (("a", 2.0), ("b", 0.5)))
    terms = sum(soft(t[n], s[n]).mean() for n in "ab")
    assert logs["loss"] == pytest.approx(ALPHA * h + (1 - ALPHA) * terms, rel=1e-5)
    assert "a_accuracy" in logs


def test_19_padding_counts_in_no_term(system):
    def tagger():
        tokens = keras.Input((5,), dtype="int32")
        embedding = layers.Embedding(9, 4, "random_normal", mask_zero=True)(tokens)
        return keras.Model(tokens, layers.Dense(3)(layers.Rescaling(50.0)(embedding)))

    rng = np.random.default_rng(0)
    x, y = rng.integers(1, 9, (8, 5)), rng.integers(0, 3, (8, 5))
    x[np.arange(5) >= rng.integers(1, 5, 8)[:, None]] = 0
    student, teacher = tagger(), tagger()
    model = system.build(student, teacher)
    system.compile(model, frozen())
    there = x != 0
    h, s = hard(y, student(x))[there].mean(), soft(teacher(x), student(x))[there].mean()
    expected = ALPHA * h + (1 - ALPHA) * s
    assert logs_of(model, x, y)["loss"] == pytest.approx(expected, rel=1e-4)


def test_21_the_logs_name_each_term_once(system, data):
    x, y = data
    student, teacher = net(), net(width=32)
    model = system.build(student, teacher, weights=[1.0, 3.0])
    system.compile(model, frozen())
    t, s = teacher(x), student(x)
    first, second, h = soft(t, s).mean(), soft(t, s, 2 * T).mean(), hard(y, s).mean()
    total = ALPHA * h + (1 - ALPHA) * (first + 3 * second)
    logs = list(logs_of(model, x, y).values())
    for value in (total, h, first, second):
        assert sum(np.isclose(logs, value, rtol=1e-4)) == 1
