import os
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export.conversion import child
from keras_kd.export.student.signature import Signature

JOB = child.Job("float32", None, 1, ["x"], False, [])


@pytest.fixture
def signature(cnn):
    return Signature.of(cnn, 1)


def ended(monkeypatch, code, stderr, seen=None):
    def run(command, **options):
        if seen is not None:
            seen.update(options, command=command)
        return SimpleNamespace(returncode=code, stderr=stderr)

    monkeypatch.setattr(child.subprocess, "run", run)


def test_the_child_is_this_python_and_this_keras_kd_without_a_gpu(monkeypatch, tmp_path, signature):
    seen = {}
    ended(monkeypatch, 0, "", seen)
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    child.run(tmp_path, JOB, signature)
    assert seen["command"] == [
        sys.executable,
        "-m",
        "keras_kd.export.conversion._convert",
        str(tmp_path),
    ]
    assert seen["env"]["CUDA_VISIBLE_DEVICES"] == "-1"
    assert seen["env"]["KERAS_BACKEND"] == "tensorflow"
    package, mine, *_ = seen["env"]["PYTHONPATH"].split(os.pathsep)
    assert os.path.samefile(
        os.path.join(package, "keras_kd", "export", "conversion", "child.py"), child.__file__
    )
    assert mine == "/mine"


def test_the_child_finds_modules_of_this_folder(monkeypatch, tmp_path, signature):
    seen = {}
    ended(monkeypatch, 0, "", seen)
    monkeypatch.setattr(sys, "path", ["", "below", *sys.path])
    child.run(tmp_path, JOB, signature)
    paths = seen["env"]["PYTHONPATH"].split(os.pathsep)
    assert {os.getcwd(), os.path.abspath("below")} <= set(paths)
    assert all(map(os.path.isabs, paths))


def test_a_crash_names_the_signal(monkeypatch, tmp_path, signature):
    ended(monkeypatch, -11, "Fatal Python error")
    with pytest.raises(RuntimeError, match=r"died of SIGSEGV(.|\n)*Fatal Python error"):
        child.run(tmp_path, JOB, signature)


def test_a_crash_without_words(monkeypatch, tmp_path, signature):
    ended(monkeypatch, -9, "")
    with pytest.raises(RuntimeError, match=r"Received: it died of SIGKILL\. Free memory"):
        child.run(tmp_path, JOB, signature)


def test_recurrent_layers_that_loop_are_named(tmp_path):
    layers = keras.layers
    model = keras.Sequential([keras.Input((4, 2)), layers.LSTM(3, name="memory"), layers.Dense(2)])
    samples = np.random.default_rng(0).normal(size=(100, 4, 2))
    with pytest.raises(RuntimeError, match="Build 'memory' with unroll=True"):
        export.tflite(model, tmp_path / "a.tflite", "int8", samples)
    assert os.listdir(tmp_path) == []


def test_only_the_end_of_a_long_error_is_shown(monkeypatch, tmp_path, signature):
    ended(monkeypatch, 1, "x" * 10_000 + "the reason")
    with pytest.raises(RuntimeError, match=r"exit status 1(.|\n)*the reason") as error:
        child.run(tmp_path, JOB, signature)
    assert len(str(error.value)) < 2500


class Odd(keras.layers.Layer):
    def call(self, x):
        return keras.ops.erfinv(x)


def test_the_layers_of_an_unsupported_operator_are_named_and_the_old_file_survives(tmp_path):
    x = keras.Input((3,))
    inner = keras.Sequential([keras.Input((2,)), Odd(name="odd")], name="inner")
    y = inner(keras.layers.Dense(2, activation="tanh")(x))
    model = keras.Model(x, keras.ops.erfinv(keras.layers.Dense(2, activation="tanh")(y)))
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the last good one")
    with pytest.raises(
        RuntimeError, match=r"built-in operators.*Received: Erfinv in \S*erfinv\S*, \S*inner\S*/odd"
    ):
        export.tflite(model, path)
    assert path.read_bytes() == b"the last good one"
    assert os.listdir(tmp_path) == ["student.tflite"]
