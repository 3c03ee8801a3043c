"""A Distiller answers in its student's name."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller


@pytest.fixture
def distiller(net):
    made = Distiller(student=net(), teacher=net(width=32))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile("sgd", loss=loss, metrics=["accuracy"])
    return made


def test_attributes(distiller):
    student = distiller.student
    for name in ("inputs", "outputs", "input_shape", "output_shape"):
        assert getattr(distiller, name) == getattr(student, name)
    student.compile("sgd", loss="mse", metrics=["accuracy"])
    assert distiller.metrics_names == student.metrics_names


def test_a_subclassed_student_has_no_shapes():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    models = Subclassed(), Subclassed()
    for model in models:
        model(np.zeros((1, 4), "float32"))
    heads = {"student_head": "logits", "teacher_head": "logits"}
    distiller = Distiller(student=models[0], teacher=models[1], **heads)
    assert not hasattr(distiller, "input_shape")


@pytest.mark.tensorflow
def test_export_is_the_students(distiller, data, tmp_path):
    import tensorflow as tf

    x, y = data
    distiller.fit(x, y, verbose=0)
    distiller.export(tmp_path / "student", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "student")
    served = loaded.serve(x.astype("float32"))
    np.testing.assert_allclose(served, distiller.predict(x, verbose=0), atol=1e-5)
