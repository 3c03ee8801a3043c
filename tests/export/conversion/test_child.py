import os
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export.conversion import child
from keras_kd.export.conversion.task import Task
from keras_kd.export.student.signature import Signature
from keras_kd.runtimes.worker import CrashError, WorkerError

TASK = Task("float32", None, 1, ["x"], False, [])


@pytest.fixture
def signature(cnn):
    return Signature.of(cnn, 1)


@pytest.fixture
def refuse(monkeypatch):
    """Lets the converter end with an error."""

    def by(error):
        def ask(*_, **__):
            raise error

        monkeypatch.setattr(child.CONVERTER, "ask", ask)

    return by


def test_a_crash_names_the_signal(refuse, tmp_path, signature):
    refuse(CrashError(-11, "Fatal Python error"))
    with pytest.raises(RuntimeError, match=r"died of SIGSEGV(.|\n)*Fatal Python error"):
        child.run(tmp_path, TASK, signature)


def test_a_crash_without_words(refuse, tmp_path, signature):
    refuse(CrashError(-9, ""))
    with pytest.raises(RuntimeError, match=r"Received: it died of SIGKILL\. Free memory"):
        child.run(tmp_path, TASK, signature)


@pytest.mark.parametrize(
    ("modules", "fresh"), [([], False), (["layers_that_may_have_been_edited"], True)]
)
def test_modules_are_loaded_anew(monkeypatch, tmp_path, signature, modules, fresh):
    seen = {}
    monkeypatch.setattr(child.CONVERTER, "ask", lambda *_, **options: seen.update(options))
    child.run(tmp_path, replace(TASK, modules=modules), signature)
    assert seen == {"fresh": fresh}


def test_one_process_converts_twice_and_gives_the_same_bytes(cnn, tmp_path):
    paths = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    processes = []
    for path in paths:
        export.tflite(cnn, path)
        processes.append(child.CONVERTER.process)
    assert processes[0] == processes[1] is not None
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_recurrent_layers_that_loop_are_named(tmp_path):
    layers = keras.layers
    model = keras.Sequential([keras.Input((4, 2)), layers.LSTM(3, name="memory"), layers.Dense(2)])
    samples = np.random.default_rng(0).normal(size=(100, 4, 2))
    words = "(?s)Build 'memory' with unroll=True.*larger file; or use quantization='dynamic'"
    with pytest.raises(RuntimeError, match=words):
        export.tflite(model, tmp_path / "a.tflite", "int8", samples)
    assert os.listdir(tmp_path) == []


def test_only_the_end_of_a_long_error_is_shown(refuse, tmp_path, signature):
    refuse(WorkerError("the reason", "x" * 10_000 + "the reason"))
    with pytest.raises(RuntimeError, match=r"an error(.|\n)*the reason") as error:
        child.run(tmp_path, TASK, signature)
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


@pytest.mark.skipif(not hasattr(keras.ops, "signbit"), reason="needs Keras 3.9's signbit")
def test_an_operation_of_the_model_itself_is_named(tmp_path):
    x = keras.Input((3,))
    model = keras.Model(x, keras.ops.signbit(keras.layers.Dense(2)(x)))
    with pytest.raises(
        RuntimeError, match=r"Received: BitwiseAnd in \w+, which calls signbit\w*\."
    ):
        export.tflite(model, tmp_path / "a.tflite")
