"""Evaluation is the student's own, and changes nothing."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_evaluation_is_the_students(net, data):
    x, y = data
    student = net(kernel_regularizer="l2")

    class Silent(keras.Model):
        def call(self, x):
            raise AssertionError("the teacher was asked")

    distiller = Distiller(student=student, teacher=net())
    distiller.compile("adam", loss=CROSS_ENTROPY, metrics=["accuracy"])
    history = distiller.fit(x, y, validation_data=(x, y), verbose=0).history
    assert set(history) == {
        *("loss", "hard_loss", "soft_targets", "accuracy"),
        *("val_loss", "val_accuracy"),
    }
    silent = Silent()
    silent.built = True
    distiller._teacher.model = silent
    distiller._teacher._logits.model = silent
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    student.compile("adam", loss=CROSS_ENTROPY, metrics=["accuracy"])
    assert logs == pytest.approx(student.evaluate(x, y, verbose=0, return_dict=True), rel=1e-6)
    assert distiller.test_on_batch(x, y, return_dict=True) == pytest.approx(logs, rel=1e-6)
    np.testing.assert_array_equal(distiller.predict(x, verbose=0), student.predict(x, verbose=0))


def test_evaluation_changes_nothing(net, data):
    x, y = data
    student = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), net()])
    distiller = Distiller(student=student, teacher=net())
    distiller.compile("adam", loss=CROSS_ENTROPY)
    before = student.get_weights()
    first = distiller.evaluate(x, y, verbose=0)
    assert distiller.evaluate(x, y, verbose=0) == first
    for a, b in zip(before, student.get_weights()):
        np.testing.assert_array_equal(a, b)
