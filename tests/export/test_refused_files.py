"""Files that disagree or cannot be made are not handed over."""

import os
import warnings

import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export import VerificationError, agreement
from keras_kd.export.conversion import child
from keras_kd.export.verification import accuracy

from ..exported_files import tflite_module


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the last good one")
    yield path
    assert path.read_bytes() == b"the last good one"
    assert os.listdir(tmp_path) == ["student.tflite"]


def test_a_file_that_disagrees_is_not_handed_over(in_process, cnn, images, old_file):
    with pytest.raises(VerificationError, match=r"at most 1e-09\. Received: .*150 samples"):
        export.tflite(cnn, old_file, "int8", images, tolerance=1e-9)


def test_flex_operators_are_refused(in_process, cnn, old_file, monkeypatch):
    monkeypatch.setattr(tflite_module, "operators", lambda content: {"CUSTOM FlexErfinv": 1})
    with pytest.raises(VerificationError, match="built-in operators only"):
        export.tflite(cnn, old_file)


def test_a_failing_child_leaves_nothing(cnn, old_file, monkeypatch):
    def half_written(folder, job, signature, calibration):
        (folder / "model.tflite").write_bytes(b"half")
        raise RuntimeError("crashed")

    monkeypatch.setattr(child, "run", half_written)
    with pytest.raises(RuntimeError, match="crashed"):
        export.tflite(cnn, old_file)


def test_a_file_that_loses_too_much_is_not_handed_over(
    in_process, cnn, images, old_file, monkeypatch
):
    shares = accuracy.Accuracy(accuracy_before=0.9, accuracy_after=0.8)
    monkeypatch.setattr(accuracy, "measure", lambda *_: shares)
    labelled = (images, np.zeros(150, "int64"))
    with pytest.raises(VerificationError, match=r"keep the Keras model's accuracy.*10\.00%"):
        export.tflite(cnn, old_file, "int8", images, verify=labelled, max_accuracy_drop=0.05)


def test_a_file_without_weights_is_refused(cnn, old_file, monkeypatch):
    import tensorflow as tf

    def from_concrete_functions(folder, *_):
        serve = tf.function(lambda image: cnn(image, training=False))
        function = serve.get_concrete_function(tf.TensorSpec((1, 12, 12, 1), name="image"))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], cnn)
        (folder / "model.tflite").write_bytes(converter.convert())

    monkeypatch.setattr(child, "run", from_concrete_functions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(
            VerificationError, match=r"must (hold the model's weights|hold finite numbers|run)"
        ):
            export.tflite(cnn, old_file)


def test_reference_kernels_that_disagree_are_warned_of(
    in_process, cnn, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(agreement, "_reference_error", lambda *_: 1.6)
    with pytest.warns(UserWarning, match=r"reference kernels \(error 1\.6\)") as caught:
        report = export.tflite(cnn, tmp_path / "a.tflite", verify=images)
    assert [w.filename for w in caught if w.category is UserWarning] == [__file__]
    assert report.reference_error == 1.6


def test_few_calibration_samples_are_warned_of(in_process, cnn, images, tmp_path):
    with pytest.warns(UserWarning, match="99 calibration samples .*100 or more") as caught:
        export.tflite(cnn, tmp_path / "a.tflite", "int8", images[:99])
    assert [w.filename for w in caught if w.category is UserWarning] == [__file__]
    export.tflite(cnn, tmp_path / "b.tflite", "float32", images[:2])


IMAGES = np.zeros((100, 12, 12, 1), "float32")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"model": "student.keras"}, TypeError, "model must be a Keras model"),
        ({"model": keras.Sequential()}, ValueError, "model must be built"),
        ({"quantization": "int4"}, ValueError, "quantization must be a known mode"),
        ({"path": None}, TypeError, "path must be a path"),
        ({"path": "."}, ValueError, "path must name a file"),
        ({"path": "missing/a.tflite"}, ValueError, "path must lie in a folder"),
        ({"calibration": None}, ValueError, "calibration must be given"),
        ({"calibration": IMAGES[..., 0]}, ValueError, "calibration for the input 'image' must"),
        ({"calibration": [IMAGES, IMAGES]}, ValueError, "calibration must give one array"),
        ({"calibration": IMAGES.astype(str)}, TypeError, "calibration .*must be a numeric"),
        ({"calibration": IMAGES * np.nan}, ValueError, "calibration .*must hold finite"),
        ({"calibration": IMAGES[:0]}, ValueError, "calibration must hold at least one"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer"),
        ({"batch_size": 1.0}, TypeError, "batch_size must be an integer"),
        ({"batch_size": True}, TypeError, "batch_size must be an integer"),
        ({"io_dtype": "int16"}, ValueError, "io_dtype must suit"),
        ({"quantization": "float32", "io_dtype": "float32"}, ValueError, "io_dtype must suit"),
        ({"verify": IMAGES[:, :5]}, ValueError, "verify for the input 'image' must"),
        ({"tolerance": -1}, ValueError, "tolerance must be"),
        ({"labels": ["a", "b"]}, ValueError, "labels must be as many as the classes"),
        ({"normalization": 127.5}, ValueError, "normalization must be a pair"),
        ({"calibration": IMAGES + 3}, ValueError, r"samples like those in use.*but 3\.0"),
        ({"path": "student.keras"}, ValueError, "path must not be a Keras model's"),
        ({"path": "student.h5"}, ValueError, "path must not be a Keras model's"),
        ({"max_accuracy_drop": 0.1}, ValueError, "max_accuracy_drop must have labels"),
        ({"verify": (IMAGES, [1])}, ValueError, "y in verify must have one class id"),
        ({"calibration": lambda: iter([IMAGES * np.nan])}, ValueError, "must hold finite"),
        ({"calibration": iter([])}, ValueError, "calibration must hold at least one"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(
    cnn, tmp_path, monkeypatch, change, error, match
):
    monkeypatch.setattr(child, "run", lambda *_: pytest.fail("the work began"))
    monkeypatch.chdir(tmp_path)
    if str(change.get("path")).startswith("student"):
        cnn.save(change["path"])
    before = os.listdir(tmp_path)
    arguments = {"model": cnn, "path": "a.tflite", "quantization": "int8", "calibration": IMAGES}
    with pytest.raises(error, match=match):
        export.tflite(**{**arguments, **change})
    assert os.listdir(tmp_path) == before


@pytest.mark.parametrize("what", ["calibration", "verify"])
def test_ids_outside_of_the_vocabulary_are_refused_before_any_work(tmp_path, monkeypatch, what):
    monkeypatch.setattr(child, "run", lambda *_: pytest.fail("the work began"))
    ids = keras.Input((6,), dtype="int32", name="ids")
    embedded = keras.layers.Embedding(50, 4)(ids)
    model = keras.Model(ids, keras.layers.Dense(2)(keras.layers.Flatten()(embedded)))
    right = np.arange(600).reshape(100, 6) % 50
    samples = {"calibration": right, "verify": right, what: right + 50}
    named = "calibration samples" if what == "calibration" else "samples compared"
    with pytest.raises(
        ValueError, match=rf"(?s)must be able to answer the {named}.*'ids' from 50 to 99"
    ):
        export.tflite(model, tmp_path / "a.tflite", "int8", **samples)


def test_inputs_of_any_size_are_refused(tmp_path):
    x = keras.Input((None, 3))
    model = keras.Model(x, keras.layers.Dense(2)(x))
    with pytest.raises(ValueError, match=r"inputs must have fixed sizes.*\(1, None, 3\)"):
        export.tflite(model, tmp_path / "a.tflite")
