"""Students of another backend: a process that loads them on TensorFlow makes the files."""

import importlib.util
import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
import keras
import numpy as np
import keras_kd
from keras_kd import export

assert keras.backend.backend() == "jax"
keras.utils.set_random_seed(0)
layers = keras.layers
student = keras.Sequential(
    [
        keras.Input((8, 8, 1), name="image"),
        layers.Conv2D(8, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(4, activation="softmax"),
    ]
)
teacher = keras.models.clone_model(student)
random = np.random.default_rng(0)
x, y = random.random((128, 8, 8, 1)).astype("float32"), random.integers(0, 4, 128)
distiller = keras_kd.Distiller(student=student, teacher=teacher)
distiller.compile("adam", loss="sparse_categorical_crossentropy")
best = keras_kd.callbacks.ExportBest(
    sys.argv[1] + "/best.tflite", "loss", quantization="int8", calibration=x, verify=(x, y)
)
distiller.fit(x, y, epochs=1, verbose=0, callbacks=[best])
want = student.predict(x, verbose=0)
got = export.predict(sys.argv[1] + "/best.tflite", x)
assert best.report.relative_error < 0.05, best.report
assert np.linalg.norm(got - want) < 0.05 * np.linalg.norm(want)
assert best.report.accuracy_before == np.mean(want.argmax(-1) == y)
report = export.saved_model(distiller, sys.argv[1] + "/student", verify=x)
assert report.relative_error < 1e-5, report


class Own(layers.Layer):
    def call(self, x):
        return x


try:
    export.tflite(keras.Sequential([student, Own()]), sys.argv[1] + "/own.tflite")
except ValueError as error:
    assert "Own of the running script" in str(error), error
else:
    raise AssertionError("a layer of __main__ cannot be loaded elsewhere")
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax beside TensorFlow")
def test_a_student_trained_on_jax(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(os.listdir(tmp_path)) == ["best.tflite", "best.tflite.best.json", "student"]


def test_the_child_loads_a_saved_student(monkeypatch, cnn, images, tmp_path):
    import tensorflow as tf

    from keras_kd.export.conversion import child
    from keras_kd.export.conversion.task import Task
    from keras_kd.export.student.signature import Signature

    signature = Signature.of(cnn, None)
    monkeypatch.setattr(child.keras.backend, "backend", lambda: "jax")
    child.hand_over(signature, tmp_path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["student.keras"]
    child.run(tmp_path, Task.of(signature), signature)
    serve = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serve"]
    got = serve(image=tf.constant(images))["output_0"].numpy()
    assert abs(got - cnn.predict(images, verbose=0)).max() < 1e-5
