"""Files that fail or crash LiteRT, which the caller outlives."""

import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export import VerificationError, agreement
from keras_kd.runtimes import litert
from keras_kd.runtimes.worker import CrashError

layers = keras.layers


def test_a_kernel_that_aborts_the_process_is_warned_of(in_process, tmp_path):
    # LiteRT's reference SOFTMAX aborts where all logits are equal.
    head = layers.Dense(3, activation="softmax", kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, activation="relu"), head])
    data = np.random.default_rng(0).normal(size=(120, 8)).astype("float32")
    with pytest.warns(UserWarning, match=r"reference kernels \(it fails: .*SIGABRT") as caught:
        report = export.tflite(model, tmp_path / "a.tflite", "int8", data)
    assert [w.filename for w in caught if w.category is UserWarning] == [__file__]
    assert report.reference_error is None
    np.testing.assert_allclose(export.predict(tmp_path / "a.tflite", data), 1 / 3, atol=0.01)
    # The next one has a process again.
    assert export.tflite(model, tmp_path / "b.tflite", verify=data).reference_error < 1e-5


def test_a_file_that_ends_its_process_is_refused(in_process, cnn, images, tmp_path, monkeypatch):
    def crash(*_):
        raise CrashError(-6, "Check failed")

    monkeypatch.setattr(litert._PROCESS, "ask", crash)
    with pytest.raises(
        VerificationError, match=r"must run on LiteRT.*its process died of SIGABRT: Check failed"
    ):
        export.tflite(cnn, tmp_path / "a.tflite", verify=images)
    assert list(tmp_path.iterdir()) == []


def test_the_reason_why_the_reference_kernels_fail_is_shown(
    in_process, cnn, images, tmp_path, monkeypatch
):
    def fail(*_):
        raise RuntimeError("Didn't find op for builtin opcode 'SUM'\nand more")

    monkeypatch.setattr(agreement, "_reference_error", fail)
    with pytest.warns(UserWarning, match=r"\(it fails: Didn't find op for .*'SUM'\): do not"):
        report = export.tflite(cnn, tmp_path / "a.tflite", verify=images)
    assert report.reference_error is None


def test_a_file_that_cannot_be_loaded(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"\0\0\0\0TFL3 and nothing else")
    with pytest.raises(RuntimeError):
        litert.Isolated(tmp_path / "a.tflite")


def test_in_a_process_of_its_own_it_answers_the_same(images, int8_file):
    path, _ = int8_file
    alone, here = litert.Isolated(path), litert.Runner(path.read_bytes())
    assert (alone.inputs, alone.outputs) == (here.inputs, here.outputs)
    reference = litert.Isolated(path, reference=True)
    for _ in range(2):  # by turns
        np.testing.assert_array_equal(
            alone.predict({"image": images})["output_0"], export.predict(path, images)
        )
        assert reference.predict({"image": images[:3]})["output_0"].shape == (3, 10)
