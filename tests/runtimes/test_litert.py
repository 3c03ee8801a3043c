import numpy as np
import pytest

from keras_kd import export


def test_float32_equals_keras_on_any_number_of_samples(cnn, images, float_file):
    for count in (1, 3, 150):
        got = export.predict(float_file[0], images[:count])
        want = cnn.predict(images[:count], verbose=0)
        assert got.dtype == "float32"
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_int8_takes_and_gives_real_values(cnn, images, int8_file):
    path, report = int8_file
    got, want = export.predict(str(path), images), cnn.predict(images, verbose=0)
    error = np.linalg.norm(got - want) / np.linalg.norm(want)
    assert 0 < error < 0.05
    steps = got / report.outputs[0].scale
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


def test_other_dtypes_keep_their_values(images, float_file):
    bytes_ = (images[:5] * 255).astype("uint8")
    want = export.predict(float_file[0], bytes_.astype("float32"))
    np.testing.assert_array_equal(export.predict(float_file[0], bytes_), want)
    np.testing.assert_array_equal(export.predict(float_file[0], {"image": bytes_}), want)


def test_several_inputs_and_outputs_go_by_name(in_process, two_by_two, pairs, tmp_path):
    path = tmp_path / "two.tflite"
    report = export.tflite(two_by_two, path, verify=pairs, batch_size=7)
    assert [t.name for t in report.inputs] == ["wide", "narrow"]
    assert [(t.name, t.shape) for t in report.outputs] == [("big", (7, 5)), ("small", (7, 2))]
    outputs = export.predict(path, {"narrow": pairs[1], "wide": pairs[0]})
    small, big = two_by_two.predict(pairs, verbose=0)
    np.testing.assert_allclose(outputs["small"], small, atol=1e-5)
    np.testing.assert_allclose(outputs["big"], big, atol=1e-5)
    with pytest.raises(ValueError, match="x must name the inputs"):
        export.predict(path, pairs)


def test_wrong_samples(float_file):
    with pytest.raises(ValueError, match="x for the input 'image' must hold samples"):
        export.predict(float_file[0], np.zeros((2, 12, 12)))
    with pytest.raises(ValueError, match="x must hold at least one sample"):
        export.predict(float_file[0], np.zeros((0, 12, 12, 1)))


def test_not_a_tflite_file(tmp_path):
    (tmp_path / "a").write_text("something else")
    with pytest.raises(ValueError, match=r"path must name a .tflite file"):
        export.predict(tmp_path / "a", np.zeros(1))
    with pytest.raises(FileNotFoundError):
        export.predict(tmp_path / "b", np.zeros(1))
