"""What a step does, and what it leaves alone."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.traps.formulas import frozen, net


def test_04_the_student_runs_once_a_step(system, data):
    x, y = data
    calls = []

    class Counted(layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    student = keras.Sequential(
        [keras.Input((4,)), Counted(), layers.BatchNormalization(momentum=0.5), layers.Dense(3)]
    )
    model = system.build(student, net())
    system.compile(model, frozen(), run_eagerly=True)
    model.train_on_batch(x, y)
    calls.clear()
    model.train_on_batch(x, y)
    assert len(calls) == 1
    np.testing.assert_allclose(student.layers[1].moving_mean, 0.75 * x.mean(0), atol=1e-6)


def test_05_evaluation_changes_nothing_and_asks_no_teacher(system, data):
    x, y = data
    asked = []

    class Asked(layers.Layer):
        def call(self, inputs):
            asked.append(1)
            return inputs

    student = keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(3)]
    )
    teacher = keras.Sequential([keras.Input((4,)), Asked(), layers.Dense(3)])
    model = system.build(student, teacher)
    system.compile(model, metrics=["accuracy"])
    before = student.get_weights()
    asked.clear()
    first = model.evaluate(x, y, verbose=0, return_dict=True)
    assert not asked
    assert model.evaluate(x, y, verbose=0, return_dict=True) == first
    for a, b in zip(before, student.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_05_validation_changes_no_weight_and_no_statistic(system, data):
    x, y = data
    students = []
    for validation in (None, (3 * x + 1, y)):
        keras.utils.set_random_seed(1)
        student = keras.Sequential(
            [keras.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(3)]
        )
        model = system.build(student, net())
        system.compile(model, metrics=["accuracy"])
        model.fit(x, y, validation_data=validation, epochs=2, shuffle=False, verbose=0)
        students.append(student.get_weights())
    for a, b in zip(*students):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_14_the_teacher_is_left_as_it_was(system, data):
    x, y = data
    inputs = keras.Input((4,))
    shared = layers.Dense(8, activation="relu")
    student = keras.Model(inputs, layers.Dense(3)(shared(inputs)))
    teacher = keras.Model(inputs, layers.Dense(3, name="own")(shared(inputs)))
    teacher.compile("sgd", loss="mse")
    own, before = teacher.get_layer("own").get_weights(), shared.get_weights()
    model = system.build(student, teacher)
    system.compile(model)
    model.fit(x, y, verbose=0)
    assert teacher.trainable
    assert teacher.loss == "mse"
    np.testing.assert_array_equal(own[0], teacher.get_layer("own").get_weights()[0])
    assert np.abs(before[0] - shared.get_weights()[0]).max() > 0


def test_18_unlabelled_data_needs_no_dummies(system, data):
    x, _ = data
    student, teacher = net(), net(width=32)
    before = student.get_weights()
    model = system.build(student, teacher)
    system.compile(model, loss=None)
    model.fit(x, verbose=0)
    assert np.abs(before[0] - student.get_weights()[0]).max() > 0


@pytest.mark.tensorflow
def test_24_two_replicas_equal_one(system, data, two_replicas):
    import tensorflow as tf

    x, y = data
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    results = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            student = net(kernel_regularizer="l2")
            model = system.build(student, net(width=32))
            system.compile(model)
        model.fit(batches, epochs=2, shuffle=False, verbose=0)
        results.append(student.get_weights())
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, atol=1e-5)
