"""A student as a `.tflite` file: what is in it, and that it answers as the student does."""

import os

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import export
from keras_kd.export.verification import reference
from tests.export.serving import serve

from .student.test_model import half_precision


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


def test_both_kinds_of_kernels_are_run(float_file, int8_file):
    for _, report in (float_file, int8_file):
        assert 0 <= report.reference_error <= report.tolerance
        assert report.reference_samples == 32
