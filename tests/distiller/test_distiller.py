"""What trains, in which ways, and what is left alone."""

from collections import OrderedDict

import keras
import numpy as np
import pytest

from keras_kd import Distiller
from keras_kd.losses import SoftTargets

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
WIDE = pytest.mark.tensorflow  # JAX has no float64 by default


def test_the_teacher_is_left_as_it_was(net, data):
    x, y = data
    teacher = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), net()]
    )
    teacher.compile("sgd", loss="mse")
    before = teacher.get_weights()
    distiller = Distiller(student=net(), teacher=teacher)
    distiller.compile("adam", loss=CROSS_ENTROPY)
    distiller.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(before, teacher.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert teacher.trainable
    assert teacher.loss == "mse"
    assert not {id(v) for v in distiller.variables} & {id(v) for v in teacher.variables}


def test_only_the_student_trains(net):
    inputs = keras.Input((4,))
    student = keras.Model(inputs, keras.layers.Dense(3, name="sort")(inputs))
    distiller = Distiller(student=student, teacher=net())
    assert [v.path for v in distiller.trainable_variables] == [
        v.path for v in student.trainable_variables
    ]
    assert distiller.output_names == ["sort"]


def test_the_student_runs_once_a_step(data):
    x, y = data
    calls = []

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    counted = Counted()
    inputs = keras.Input((4,))
    hidden = keras.layers.BatchNormalization(momentum=0.5)(counted(inputs))
    student = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
    teacher = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    distiller = Distiller(
        student=student, teacher=teacher, terms=[SoftTargets(), keras.losses.MeanSquaredError()]
    )
    distiller.compile("sgd", loss="sparse_categorical_crossentropy", run_eagerly=True)
    distiller.train_on_batch(x, y)
    calls.clear()
    distiller.train_on_batch(x, y)
    assert len(calls) == 1
    np.testing.assert_allclose(student.layers[2].moving_mean, 0.75 * x.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    "how", [{"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 2}]
)
def test_every_way_to_run_gives_the_same_weights(net, data, how):
    x, y = data
    weights = []
    for kwargs in ({}, how):
        keras.utils.set_random_seed(0)
        distiller = Distiller(student=net(activation="softmax"), teacher=net(width=32))
        distiller.compile("sgd", loss="sparse_categorical_crossentropy", **kwargs)
        distiller.fit(x, y, batch_size=6, shuffle=False, epochs=2, verbose=0)
        weights.append(distiller.student.get_weights())
    for a, b in zip(*weights):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_mixed_float16_student_gets_loss_scaling(data, frozen, soft_targets):
    x, y = data
    policy = "mixed_float16"
    student = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu", dtype=policy),
            keras.layers.Dense(3, dtype=policy),
        ]
    )
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    distiller = Distiller(student=student, teacher=teacher)
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    expected = soft_targets(teacher(x), student(x), 4.0).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=2e-3)
    assert float(distiller.alpha) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "mixed_bfloat16", pytest.param("float64", marks=WIDE)]
)
def test_a_teacher_of_another_precision_is_asked_as_it_is(data, frozen, soft_targets, dtype):
    x, y = data
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=dtype)])
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    logs = frozen(Distiller(student=student, teacher=teacher), CROSS_ENTROPY)(x, y)
    teacher_logits = keras.ops.cast(teacher(x), "float32")
    expected = soft_targets(teacher_logits, student(x), 4.0).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=2e-2)


@pytest.mark.tensorflow
def test_two_replicas_equal_one(net, data, two_replicas):
    import tensorflow as tf

    x, y = data
    batches = tf.data.Dataset.from_tensor_slices((x, y, np.linspace(0, 2, 24))).batch(10)
    results = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            student = net(activation="softmax", kernel_regularizer="l2")
            distiller = Distiller(student=student, teacher=net(width=32))
            distiller.compile("sgd", loss="sparse_categorical_crossentropy")
        history = distiller.fit(batches, epochs=2, shuffle=False, verbose=0).history
        results.append((history, student.get_weights()))
    (one, weights), (two, mirrored) = results
    for column, values in one.items():
        # Keras 3.8 itself logs the means of one replica.
        if not keras.__version__.startswith("3.8."):
            assert two[column] == pytest.approx(values, rel=1e-5), column
    for a, b in zip(weights, mirrored):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("floatx", ["bfloat16", pytest.param("float64", marks=WIDE)])
def test_other_default_dtypes_train(net, data, floatx, frozen, soft_targets):
    x, y = data
    before = keras.config.floatx()
    keras.config.set_floatx(floatx)
    try:
        for terms in (None, [SoftTargets(), keras.losses.MeanSquaredError()]):
            student = net(kernel_regularizer="l2")
            distiller = Distiller(student=student, teacher=net(width=32), terms=terms)
            logs = frozen(distiller, CROSS_ENTROPY)(x, y)
            t, s = (keras.ops.cast(m(x), "float32") for m in (distiller.teacher, student))
            expected = float(soft_targets(t, s, 4.0).mean())
            assert float(logs["soft_targets"]) == pytest.approx(expected, rel=1e-2)
            assert np.isfinite(float(logs["loss"]))
    finally:
        keras.config.set_floatx(before)


def test_dicts_belong_together_by_key_whatever_their_order(data, frozen, soft_targets):
    x, _ = data
    inputs = keras.Input((4,))

    def model(kind, *names):
        return keras.Model(inputs, kind((n, keras.layers.Dense(3, name=n)(inputs)) for n in names))

    student, teacher = model(OrderedDict, "b", "a"), model(dict, "a", "b")
    logs = frozen(Distiller(student=student, teacher=teacher))(x)
    for name in "ab":
        expected = soft_targets(teacher(x)[name], student(x)[name], 4.0).mean()
        assert logs[f"{name}_soft_targets"] == pytest.approx(expected, rel=1e-5)


def test_masked_sequences_train_without_warnings(data, frozen):
    tokens = keras.Input((5,), dtype="int32")

    def model():
        hidden = keras.layers.Embedding(7, 4, mask_zero=True)(tokens)
        return keras.Model(tokens, keras.layers.Dense(3, activation="softmax")(hidden))

    x = np.random.default_rng(0).integers(0, 7, (6, 5))
    distiller = Distiller(student=model(), teacher=model())
    logs = frozen(distiller, "sparse_categorical_crossentropy")(x, np.zeros((6, 5), "int32"))
    assert np.isfinite(list(logs.values())).all()


def test_a_compilation_that_keras_refuses_leaves_the_last_one_standing(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    distiller.compile("sgd", loss=CROSS_ENTROPY, alpha=0.25)
    with pytest.raises(ValueError, match="nope"):
        distiller.compile("nope", loss=CROSS_ENTROPY, alpha=0.75)
    logs = distiller.fit(x, y, batch_size=24, verbose=0).history
    blend = 0.25 * logs["hard_loss"][0] + 0.75 * logs["soft_targets"][0]
    assert logs["loss"][0] == pytest.approx(blend, rel=1e-5)


def test_a_loss_of_the_users_own_keeps_its_arguments(net, data, frozen):
    class Mine(keras.losses.Loss):
        def __init__(self, temperature, margin=1.0):
            super().__init__(name="mine")
            self.temperature, self.margin = temperature, margin

        def call(self, y_true, y_pred):
            gap = keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)
            return self.margin * gap / self.temperature

    x, _ = data
    student, teacher = net(), net(width=32)
    distiller = Distiller(student=student, teacher=teacher, terms=[Mine(2.0, margin=5.0)])
    distiller.terms[0].temperature.assign(4.0)
    gap = np.mean((np.asarray(teacher(x)) - np.asarray(student(x))) ** 2)
    assert frozen(distiller)(x)["mine"] == pytest.approx(5.0 * gap / 4.0, rel=1e-5)
