"""The bridge to tensorflow-model-optimization; `.ci/run` installs it and runs this file."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import compression

pytestmark = pytest.mark.tensorflow

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def legacy():
    pytest.importorskip("tf_keras", exc_type=ImportError)
    try:
        return compression.tf_keras_port.packages()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def student():
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, use_bias=False, kernel_regularizer="l2", name="conv")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Flatten(name="flat")(layers.Add(name="add")([x, y]))
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="student")


@pytest.fixture(scope="module")
def images():
    x = np.random.default_rng(0).normal(size=(96, 8, 8, 1)).astype("float32")
    return x, (x.mean(axis=(1, 2, 3)) > 0).astype("int32")


def test_the_environment_stays(legacy):
    code = (
        "import os, tensorflow as tf\n"
        "import keras_kd, sys\n"
        "assert 'tf_keras' not in sys.modules\n"
        "keras_kd.compression.tf_keras_port.packages()\n"
        "assert 'TF_USE_LEGACY_KERAS' not in os.environ\n"
        "import keras\n"
        "assert issubclass(keras.layers.Dense, tf.keras.layers.Layer)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_quantised_distilled_exported(in_process, legacy, student, images, tmp_path):
    _, tfmot = legacy
    x, y = images
    before = student.get_weights()
    ported = compression.tfmot.to_tf_keras(student)
    annotated = tfmot.quantization.keras.quantize_model(ported)
    adopted = compression.tfmot.adopt(annotated)
    assert adopted.output_names == ["quant_logits"]
    distiller = keras_kd.Distiller(student=adopted, teacher=student)
    distiller.compile("adam", CROSS_ENTROPY)
    logs = distiller.fit(x, y, batch_size=32, epochs=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values()), logs
    ranges = {v.name: v.numpy() for v in annotated.variables if "kernel_min" in v.name}
    assert ranges
    assert all(np.abs(value).max() < 6 for value in ranges.values()), "they have moved"
    report = keras_kd.export.tflite(distiller, tmp_path / "s.tflite", "int8", verify=x)
    assert (report.calibration_samples, report.float_operators) == (0, {})
    assert report.relative_error < 0.05
    for a, b in zip(before, student.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_a_quantised_student_is_saved_whole(legacy, student, images, tmp_path):
    _, tfmot = legacy
    x, y = images
    annotated = tfmot.quantization.keras.quantize_model(compression.tfmot.to_tf_keras(student))
    adopted = compression.tfmot.adopt(annotated)
    adopted.compile("adam", CROSS_ENTROPY)
    adopted.fit(x, y, batch_size=48, verbose=0)
    adopted.save(tmp_path / "adopted.keras")
    loaded = keras.models.load_model(tmp_path / "adopted.keras")
    np.testing.assert_allclose(loaded(x), adopted(x), atol=1e-6)
    assert len(loaded.weights) == len(adopted.weights)
    loaded.fit(x, y, batch_size=48, verbose=0)


def test_pruning_steps_go_on(in_process, legacy, student, images, tmp_path):
    _, tfmot = legacy
    x, y = images
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.8, 0, 5, frequency=1)
    annotated = tfmot.sparsity.keras.prune_low_magnitude(
        compression.tfmot.to_tf_keras(student), pruning_schedule=schedule
    )
    adopted = compression.tfmot.adopt(annotated)
    adopted.compile("adam", CROSS_ENTROPY)
    adopted.fit(x, y, batch_size=12, verbose=0)
    adopted.evaluate(x, y, verbose=0)
    steps = [x.pruning_step for x in annotated.layers if hasattr(x, "pruning_step")]
    assert {int(step) for step in steps} == {8}
    stripped = tfmot.sparsity.keras.strip_pruning(annotated)
    for name in ("conv", "logits"):
        kernel = stripped.get_layer(name).get_weights()[0]
        assert abs(np.mean(kernel == 0) - 0.8) < 0.02, name
    report = keras_kd.export.tflite(adopted, tmp_path / "s.tflite")
    assert not any("VARIABLE" in name for name in report.operators)
    adopted.save(tmp_path / "adopted.keras")
    loaded = keras.models.load_model(tmp_path / "adopted.keras")
    np.testing.assert_allclose(loaded(x), adopted(x), atol=1e-6)
    loaded.fit(x, y, batch_size=48, verbose=0)


def test_bad_input(legacy, student, monkeypatch):
    tf_keras, tfmot = legacy
    with pytest.raises(TypeError, match=r"model must be a tf_keras model.*to_tf_keras\(student\)"):
        compression.tfmot.adopt(student)
    with pytest.raises(ValueError, match=r"must be built from tf_keras.Input"):
        compression.tfmot.adopt(tf_keras.Sequential([tf_keras.layers.Dense(2)]))
    ported = compression.tfmot.to_tf_keras(student)
    with pytest.raises(ValueError, match="quantised, not annotated alone"):
        compression.tfmot.adopt(tfmot.quantization.keras.quantize_annotate_model(ported))
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_kd\[compression\]'"):
        compression.tfmot.adopt(ported)
