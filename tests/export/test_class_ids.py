"""Students that give class ids themselves."""

import keras
import numpy as np
import pytest

from keras_kd import export

layers = keras.layers
DATA = np.random.default_rng(0).normal(size=(120, 6)).astype("float32")
FUNCTIONS = {
    "argmax": lambda x: keras.ops.argmax(x, axis=-1),
    "argmin": lambda x: keras.ops.argmin(x, axis=-1),
    "kept": lambda x: keras.ops.argmax(x, axis=1, keepdims=True),
    "reshaped": lambda x: keras.ops.argmax(layers.Reshape((5, 1))(x), axis=1),
    "twice": lambda x: keras.ops.argmax(x, axis=-1) + keras.ops.argmin(x, axis=-1),
    "layer": lambda x: layers.Lambda(lambda y: keras.ops.argmax(y, axis=-1))(x),
}


def ids_model(function, classes=5):
    keras.utils.set_random_seed(0)
    x = keras.Input((6,), name="x")
    return keras.Model(x, function(layers.Dense(classes)(x)))


@pytest.mark.parametrize("quantization", ["float32", "int8"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_argmax_in_the_model(in_process, tmp_path, name, quantization):
    model, path = ids_model(FUNCTIONS[name]), tmp_path / "a.tflite"
    report = export.tflite(model, path, quantization, DATA)
    assert not {"SELECT_V2", "LOGICAL_AND", "EQUAL"} & set(report.operators)
    want, got = model.predict(DATA, verbose=0), export.predict(path, DATA)
    assert report.argmax_agreement == np.mean(got == want) >= 0.95
    assert report.relative_error == pytest.approx(1 - report.argmax_agreement)
    assert report.spread_error is None is report.channel_error


def test_a_selection_of_ones_own_stays(in_process, tmp_path):
    def function(x):
        return keras.ops.argmax(keras.ops.where(x > 0, x, -x * 2), axis=-1)

    model, path = ids_model(function), tmp_path / "a.tflite"
    export.tflite(model, path, verify=DATA)
    np.testing.assert_array_equal(export.predict(path, DATA), model.predict(DATA, verbose=0))


def test_many_classes_are_not_judged_by_the_size_of_their_ids(in_process, tmp_path):
    model, path = ids_model(FUNCTIONS["argmax"], classes=300), tmp_path / "a.tflite"
    report = export.tflite(model, path, "int8", DATA)
    want, got = model.predict(DATA, verbose=0), export.predict(path, DATA)
    assert report.argmax_agreement == np.mean(want == got)


def test_labels_of_a_model_that_gives_ids(in_process, tmp_path):
    model = ids_model(FUNCTIONS["argmax"])
    labels = model.predict(DATA, verbose=0)
    labels[:30] = (labels[:30] + 1) % 5
    labels[60:] = -1
    report = export.tflite(model, tmp_path / "a.tflite", verify=(DATA, labels))
    assert (report.accuracy_before, report.accuracy_after) == (0.5, 0.5)
    for wrong, rule in ((labels[:9], "one class id for each"), (labels + 0.5, "be class ids")):
        with pytest.raises(ValueError, match=f"y in verify must .*{rule}"):
            export.tflite(model, tmp_path / "b.tflite", verify=(DATA, wrong))


def test_a_saved_model_of_ids(tmp_path):
    report = export.saved_model(ids_model(FUNCTIONS["argmax"]), tmp_path / "a", verify=DATA)
    assert (report.relative_error, report.argmax_agreement, report.tolerance) == (0, 1, 1e-3)
