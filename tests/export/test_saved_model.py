import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_kd
from keras_kd import export
from keras_kd.export import VerificationError
from keras_kd.export.verification import reference

from .student.test_model import half_precision


def test_plain_tensorflow_serves_it_by_name(cnn, images, folder):
    path, _ = folder
    serve = tf.saved_model.load(str(path)).signatures["serve"]
    assert list(serve.structured_input_signature[1]) == ["image"]
    for count in (1, 7):
        got = serve(image=tf.constant(images[:count]))["output_0"].numpy()
        want = cnn.predict(images[:count], verbose=0)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_keras_loads_it_as_a_layer(cnn, images, folder):
    layer = keras.layers.TFSMLayer(str(folder[0]), call_endpoint="serve")
    want = cnn.predict(images[:4], verbose=0)
    np.testing.assert_allclose(layer(images[:4]).numpy(), want, rtol=1e-5, atol=1e-6)


def test_labels_add_the_accuracy(cnn, images, tmp_path):
    answers = cnn.predict(images, verbose=0).argmax(-1)
    right = np.where(np.arange(150) % 5, answers, (answers + 1) % 10)
    report = export.saved_model(cnn, tmp_path / "a", verify=(images, right))
    assert (report.accuracy_before, report.accuracy_after) == (0.8, 0.8)
    with pytest.raises(ValueError, match="y in verify"):
        export.saved_model(cnn, tmp_path / "b", verify=(images, right[:3]))


def test_the_report(cnn, folder):
    path, report = folder
    files = [p for p in path.rglob("*") if p.is_file()]
    assert report.path == str(path)
    assert (report.format, report.quantization, report.operators) == ("saved_model", None, {})
    assert report.bytes == sum(p.stat().st_size for p in files)
    assert [(t.name, t.shape, t.dtype) for t in report.inputs + report.outputs] == [
        ("image", (None, 12, 12, 1), "float32"),
        ("output_0", (None, 10), "float32"),
    ]
    assert report.relative_error <= 1e-5 == report.tolerance
    assert (report.argmax_agreement, report.samples) == (1.0, 150)


def test_dicts_keep_their_structure(tmp_path):
    x, y = keras.Input((4,), name="x"), keras.Input((2,), name="y")
    outputs = {"box": keras.layers.Dense(3)(x), "cls": keras.layers.Dense(2)(y)}
    model = keras.Model({"x": x, "y": y}, outputs)
    data = {"y": np.ones((5, 2), "float32"), "x": np.ones((5, 4), "float32")}
    report = export.saved_model(model, tmp_path / "m", verify=data)
    assert [t.name for t in report.outputs] == ["box", "cls"]
    got = keras.layers.TFSMLayer(str(tmp_path / "m"), call_endpoint="serve")(data)
    want = model.predict(data, verbose=0)
    np.testing.assert_allclose(got["box"], want["box"], rtol=1e-5)
    np.testing.assert_allclose(got["cls"], want["cls"], rtol=1e-5)


def test_a_distiller_leaves_its_teacher_behind(cnn, images, folder, tmp_path):
    teacher = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Flatten()])
    teacher.add(keras.layers.Dense(900, activation="relu"))
    teacher.add(keras.layers.Dense(10))
    distiller = keras_kd.Distiller(student=cnn, teacher=teacher)
    report = export.saved_model(distiller, tmp_path / "m", verify=images)
    assert abs(report.bytes - folder[1].bytes) < 5000
    assert [t.shape for t in report.outputs] == [(None, 10)]


def test_half_precision_is_exported_in_float32(tmp_path):
    model = half_precision("mixed_float16")
    report = export.saved_model(model, tmp_path / "m")
    assert report.outputs[0].dtype == "float32"
    assert report.relative_error <= 1e-5


def test_silent_and_the_model_stays_as_it_was(cnn, tmp_path, capsys):
    weights, config = cnn.get_weights(), cnn.to_json()
    export.saved_model(cnn, tmp_path / "m")
    assert capsys.readouterr() == ("", "")
    assert cnn.to_json() == config
    for before, after in zip(weights, cnn.get_weights()):
        np.testing.assert_array_equal(before, after)


def test_the_old_one_is_replaced(cnn, two_by_two, tmp_path):
    path = tmp_path / "m"
    export.saved_model(cnn, path)
    export.saved_model(two_by_two, path)
    serve = tf.saved_model.load(str(path)).signatures["serve"]
    assert sorted(serve.structured_outputs) == ["big", "small"]
    assert os.listdir(tmp_path) == ["m"]


def test_one_that_disagrees_is_not_handed_over(cnn, images, tmp_path, monkeypatch):
    path = tmp_path / "m"
    export.saved_model(cnn, path)
    before = (path / "saved_model.pb").read_bytes()
    monkeypatch.setattr(reference, "reference", lambda *_: {"output_0": np.ones((150, 10))})
    with pytest.raises(VerificationError, match="at most 1e-05"):
        export.saved_model(cnn, path, verify=images)
    assert (path / "saved_model.pb").read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_inputs_of_any_size_need_samples(tmp_path):
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, keras.layers.GlobalAveragePooling1D()(keras.layers.Dense(2)(x)))
    with pytest.raises(ValueError, match="verify must be given"):
        export.saved_model(model, tmp_path / "m")
    report = export.saved_model(model, tmp_path / "m", verify=np.ones((3, 9, 3)))
    assert report.inputs[0].shape == (None, None, 3)


def test_wrong_arguments_leave_nothing(cnn, tmp_path):
    cases = [
        ({"model": None}, TypeError, "model must be"),
        ({"path": 3}, TypeError, "path must be"),
        ({"path": tmp_path / "no" / "m"}, ValueError, "path must lie"),
        ({"verify": np.zeros((2, 3))}, ValueError, "verify for the input 'image'"),
        ({"tolerance": 0}, ValueError, "tolerance must be"),
    ]
    for change, error, match in cases:
        with pytest.raises(error, match=match):
            export.saved_model(**{"model": cnn, "path": tmp_path / "m", **change})
    assert os.listdir(tmp_path) == []
