import os
import warnings

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import keras_kd
from keras_kd import export
from keras_kd.export import VerificationError, agreement
from keras_kd.export.conversion import child
from keras_kd.export.verification import accuracy, reference

from ..exported_files import tflite_module
from .student.test_model import half_precision


def serve(path):
    interpreter = Interpreter(model_path=str(path))
    assert list(interpreter.get_signature_list()) == ["serve"]
    return interpreter, interpreter.get_signature_runner("serve")


def test_float32(cnn, images, float_file):
    path, report = float_file
    _interpreter, run = serve(path)
    want = cnn.predict(images[:1], verbose=0)
    np.testing.assert_allclose(run(image=images[:1])["output_0"], want, rtol=1e-4, atol=1e-5)
    assert [(t.name, t.shape, t.dtype, t.scale) for t in report.inputs + report.outputs] == [
        ("image", (1, 12, 12, 1), "float32", None),
        ("output_0", (1, 10), "float32", None),
    ]
    assert report.relative_error < 1e-5
    assert (report.argmax_agreement, report.samples, report.tolerance) == (1.0, 150, 1e-4)
    assert (report.path, report.format, report.quantization) == (str(path), "tflite", "float32")
    assert report.bytes == path.stat().st_size > 4 * (200 * 32 + 32 * 10)
    assert report.gzip_bytes < report.bytes
    assert report.threads == os.cpu_count()
    assert os.listdir(path.parent) == ["student.tflite"]


def test_int8(cnn, images, int8_file, float_file):
    path, report = int8_file
    _interpreter, run = serve(path)
    detail = run.get_input_details()["image"]
    assert detail["dtype"] is np.int8
    image, output = report.inputs[0], report.outputs[0]
    assert (image.dtype, output.dtype) == ("int8", "int8")
    assert detail["quantization"] == pytest.approx((image.scale, image.zero_point))
    assert image.scale == pytest.approx(1 / 255, rel=1e-2)
    assert "DEQUANTIZE" not in report.operators
    assert report.bytes < 0.5 * float_file[1].bytes
    want = cnn.predict(images[:100], verbose=0)
    got = export.predict(path, images[:100])
    error = np.linalg.norm(got - want) / np.linalg.norm(want)
    assert report.relative_error == pytest.approx(error, rel=1e-4)
    assert report.argmax_agreement == np.mean(got.argmax(-1) == want.argmax(-1))
    assert (report.samples, report.tolerance) == (100, 0.15)


@pytest.mark.parametrize("io_dtype", ["uint8", "float32"])
def test_int8_inside_and_another_dtype_outside(in_process, cnn, images, tmp_path, io_dtype):
    path = tmp_path / "a.tflite"
    report = export.tflite(cnn, path, "int8", images, batch_size=4, io_dtype=io_dtype)
    tensors = report.inputs + report.outputs
    assert {t.dtype for t in tensors} == {io_dtype}
    assert {t.shape[0] for t in tensors} == {4}
    assert {t.scale is None for t in tensors} == {io_dtype == "float32"}
    assert report.samples == 150  # not a multiple of 4
    want = cnn.predict(images, verbose=0)
    assert np.linalg.norm(export.predict(path, images) - want) < 0.05 * np.linalg.norm(want)


# The reference kernels of LiteRT 1.2 lack the version of FULLY_CONNECTED that "dynamic" needs.
@pytest.mark.filterwarnings("ignore:The file agrees with Keras on LiteRT's default kernels")
@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_any_batch_size(in_process, cnn, images, tmp_path, quantization):
    path = tmp_path / "a.tflite"
    report = export.tflite(cnn, path, quantization, images, batch_size=None)
    assert [t.shape for t in report.inputs + report.outputs] == [(None, 12, 12, 1), (None, 10)]
    _interpreter, run = serve(path)
    want = cnn.predict(images, verbose=0)
    image = report.inputs[0]
    for count in (1, 5, 150):
        got = run(image=image.stored(images[:count]))["output_0"]
        got = report.outputs[0].real(got)
        assert np.linalg.norm(got - want[:count]) < 0.05 * np.linalg.norm(want[:count])


def test_int8_of_several_inputs_and_outputs(in_process, two_by_two, pairs, tmp_path):
    path = tmp_path / "a.tflite"
    by_name = {"narrow": pairs[1].astype("float64"), "wide": pairs[0]}
    report = export.tflite(two_by_two, path, "int8", calibration=by_name)
    assert [(t.name, t.shape, t.dtype) for t in report.inputs + report.outputs] == [
        ("wide", (1, 8), "int8"),
        ("narrow", (1, 3), "int8"),
        ("big", (1, 5), "int8"),
        ("small", (1, 2), "int8"),
    ]
    outputs = export.predict(path, by_name)
    for got, want in zip((outputs["small"], outputs["big"]), two_by_two.predict(pairs, verbose=0)):
        assert np.linalg.norm(got - want) < 0.05 * np.linalg.norm(want)


def test_int8_leaves_whole_number_inputs_as_they_are(in_process, tmp_path):
    random = np.random.default_rng(5)
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    image = keras.Input((9,), dtype="uint8", name="image")
    words = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(300, 8)(tokens))
    joined = keras.layers.Concatenate()([words, keras.layers.Rescaling(1 / 255)(image)])
    model = keras.Model([tokens, image], keras.layers.Dense(4)(joined))
    data = [random.integers(0, 300, (120, 6)), random.integers(0, 256, (120, 9))]
    path = tmp_path / "a.tflite"
    with pytest.warns(UserWarning, match=r"in float in part: CAST 1 .*instead of 'image'"):
        report = export.tflite(model, path, "int8", data)
    assert report.float_operators == {"CAST": 1}
    assert [(t.name, t.dtype, t.scale) for t in report.inputs] == [
        ("tokens", "int32", None),
        ("image", "uint8", None),
    ]
    assert report.outputs[0].dtype == "int8"
    got = export.predict(path, {"tokens": data[0], "image": data[1]})
    want = model.predict(data, verbose=0)
    assert np.linalg.norm(got - want) < 0.05 * np.linalg.norm(want)


def test_images_as_bytes_calibrate_a_float_input(in_process, images, tmp_path):
    x = keras.Input((12, 12, 1), name="image")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x))
    model = keras.Model(x, keras.layers.Dense(3)(flat))
    report = export.tflite(
        model, tmp_path / "a", "int8", (images * 255).astype("uint8"), io_dtype="uint8"
    )
    assert report.inputs[0].scale == pytest.approx(1.0, rel=0.02)
    assert report.inputs[0].zero_point == 0


def test_a_distiller_exports_its_student(in_process, cnn, float_file, tmp_path):
    distiller = keras_kd.Distiller(student=cnn, teacher=keras.models.clone_model(cnn))
    report = export.tflite(distiller, tmp_path / "a.tflite")
    assert (tmp_path / "a.tflite").stat().st_size == pytest.approx(float_file[1].bytes, abs=200)
    assert report.samples == reference.GENERATED_SAMPLES


def test_half_precision_is_exported_in_float32(in_process, tmp_path):
    report = export.tflite(half_precision("mixed_float16"), tmp_path / "a.tflite")
    assert "CAST" not in report.operators
    assert report.relative_error < 1e-5


def test_silent_and_the_model_stays_as_it_was(in_process, cnn, tmp_path, capsys):
    weights, config = cnn.get_weights(), cnn.to_json()
    export.tflite(cnn, tmp_path / "a.tflite")
    assert capsys.readouterr() == ("", "")
    assert cnn.to_json() == config
    for before, after in zip(weights, cnn.get_weights()):
        np.testing.assert_array_equal(before, after)


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


def test_calibration_from_a_dataset_and_accuracy_from_labels(in_process, cnn, images, tmp_path):
    import tensorflow as tf

    labels = cnn.predict(images, verbose=0).argmax(-1)
    labels[:30] = (labels[:30] + 1) % 10
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(32)
    report = export.tflite(
        cnn, tmp_path / "a.tflite", "int8", data, verify=(images, labels), max_accuracy_drop=0.2
    )
    assert (report.calibration_samples, report.samples) == (150, 150)
    assert report.accuracy_before == 0.8
    answers = export.predict(tmp_path / "a.tflite", images).argmax(-1)
    assert report.accuracy_after == np.mean(answers == labels)
    by_dataset = export.tflite(cnn, tmp_path / "b.tflite", "float16", verify=data)
    assert (by_dataset.accuracy_before, by_dataset.calibration_samples) == (0.8, 0)


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
            VerificationError, match=r"must (hold the model's weights|be finite|run)"
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


def test_both_kinds_of_kernels_are_run(float_file, int8_file):
    for _, report in (float_file, int8_file):
        assert 0 <= report.reference_error <= report.tolerance
        assert report.reference_samples == 32


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
        ({"max_accuracy_drop": 0.1}, ValueError, "max_accuracy_drop must come with labels"),
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
