import os

import keras
import numpy as np
import pytest

from keras_kd import Distiller, callbacks, compression, export

pytestmark = pytest.mark.tensorflow

X = np.zeros((4, 6), "float32")


class Logs(keras.callbacks.Callback):
    """Gives each epoch the next of the values, before the callbacks that look at it."""

    def __init__(self, name, values):
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs=None):
        if self.values[epoch] is not None:
            logs[self.name] = self.values[epoch]


def fit(net, data, callback, name, values):
    distiller = Distiller(student=net(width=4), teacher=net())
    distiller.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    logs = Logs(name, values)
    distiller.fit(*data, epochs=len(values), verbose=0, callbacks=[logs, callback])
    return distiller


@pytest.fixture
def exports(monkeypatch):
    """Records what is exported in the place of exporting."""
    done = []

    def fake(model, path, **options):
        done.append((model.student.get_weights(), path, options))
        return len(done)

    monkeypatch.setattr(export, "tflite", fake)
    return done


@pytest.mark.parametrize(
    ("name", "mode", "values", "best"),
    [
        ("val_loss", "auto", [3.0, 2.0, float("nan"), 2.5, 1.0], [0, 1, 4]),
        ("val_loss", "auto", [float("nan"), 3.0, float("inf"), 2.0], [1, 3]),
        ("val_loss", "auto", [None, 3.0, None, 2.0], [1, 3]),
        ("val_accuracy", "auto", [0.5, 0.4, 0.6], [0, 2]),
        ("score", "max", [0.5, 0.7, 0.6], [0, 1]),
        ("accuracy_of_errors", "min", [0.5, 0.4, 0.6], [0, 1]),
    ],
)
def test_each_best_epoch_is_exported(net, data, tmp_path, exports, name, mode, values, best):
    callback = callbacks.ExportBest(tmp_path / "a.tflite", name, mode, quantization="float16")
    distiller = fit(net, data, callback, name, values)
    assert (callback.epoch, callback.best, callback.report) == (
        best[-1],
        values[best[-1]],
        len(best),
    )
    assert len(exports) == len(best)
    assert {path for _, path, _ in exports} == {tmp_path / "a.tflite"}
    assert exports[0][2] == {"quantization": "float16"}
    if best[-1] == len(values) - 1:
        for got, want in zip(exports[-1][0], distiller.student.get_weights()):
            np.testing.assert_array_equal(got, want)


def test_a_threshold_is_to_be_exceeded_first(net, data, tmp_path, exports):
    callback = callbacks.ExportBest(tmp_path / "a.tflite", "val_loss", initial_value_threshold=2.0)
    fit(net, data, callback, "val_loss", [3.0, 1.5])
    assert (len(exports), callback.epoch) == (1, 1)


def test_the_saved_model_is_the_best_student(net, data, tmp_path):
    import tensorflow as tf

    callback = callbacks.ExportBest(tmp_path / "student", "val_loss", verify=data[0])
    kept = []
    saved = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(callback.model.student.get_weights())
    )
    distiller = Distiller(student=net(width=4), teacher=net())
    distiller.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    order = [Logs("val_loss", [2.0, 1.0, 3.0]), callback, saved]
    distiller.fit(*data, epochs=3, verbose=0, callbacks=order)
    assert sorted(os.listdir(tmp_path)) == ["student", "student.best.json"]
    assert callback.report.format == "saved_model"
    best = keras.models.clone_model(distiller.student)
    best.set_weights(kept[1])
    serve = tf.saved_model.load(str(tmp_path / "student")).signatures["serve"]
    (name,) = serve.structured_input_signature[1]
    got = serve(**{name: tf.constant(data[0])})["output_0"]
    np.testing.assert_allclose(got, best(data[0]), rtol=1e-5, atol=1e-6)


def test_wrong_use(net, data, tmp_path):
    path = tmp_path / "a.tflite"
    for arguments, error, match in [
        ({"path": tmp_path / "no" / "a.tflite"}, ValueError, "path must lie in a folder"),
        ({"monitor": "score"}, ValueError, "mode must say what is better"),
        ({"mode": "best"}, ValueError, "mode must say what is better"),
        ({"calibration": iter([])}, ValueError, "calibration must be samples .* more than once"),
        ({"colour": 3}, TypeError, "export.tflite.*some of .*'io_dtype'.*argument 'colour'"),
        ({"path": "student", "quantization": "int8"}, TypeError, "export.saved_model.*ends in"),
        (
            {"path": tmp_path / "best.keras"},
            ValueError,
            "path must name what is exported.*best.keras",
        ),
        ({"monitor": None, "mode": "min"}, TypeError, "monitor must name an entry"),
        ({"initial_value_threshold": float("nan")}, ValueError, "initial_value_threshold must be"),
        ({"initial_value_threshold": "0.5"}, TypeError, "initial_value_threshold must be"),
        ({"quantization": "int9"}, ValueError, "quantization must be a known mode"),
        ({"quantization": "int16x8", "verify": X}, ValueError, "calibration must be given"),
        ({"io_dtype": "int8"}, ValueError, "io_dtype must suit"),
        ({"tolerance": -1}, ValueError, "tolerance must be"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"max_accuracy_drop": 0.1}, ValueError, "max_accuracy_drop must have labels"),
    ]:
        with pytest.raises(error, match=match):
            callbacks.ExportBest(**{"path": path, **arguments})
    with pytest.raises(ValueError, match="monitor must be in the logs"):
        fit(net, data, callbacks.ExportBest(path), "loss", [1.0])
    callbacks.ExportBest(path, quantization="int8", verify=X)  # for students with ranges


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs a folder that takes no file")
@pytest.mark.parametrize("path", ["/proc/s.tflite", "/proc/s"])
def test_what_cannot_be_written_is_refused_before_the_first_step(net, data, path):
    steps = []
    spy = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    model = net(width=4)
    model.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="path must lie in a folder that can be written"):
        model.fit(*data, verbose=0, callbacks=[spy, callbacks.ExportBest(path, "loss")])
    assert not steps


def test_the_ending_may_be_in_capitals(tmp_path):
    best = callbacks.ExportBest(tmp_path / "best.TFLITE", quantization="float16")
    assert best._export is export.tflite


def test_a_value_that_never_was_finite_is_warned_of(net, data, tmp_path, exports):
    callback = callbacks.ExportBest(tmp_path / "a.tflite", "loss")
    with pytest.warns(UserWarning, match="kept nothing: 'loss' was NaN or Inf in all epochs"):
        fit(net, data, callback, "loss", [float("nan")] * 2)


def test_a_value_that_is_missing_though_there_was_validation(net, data, tmp_path, exports):
    callback = callbacks.ExportBest(tmp_path / "a.tflite", "val_acc")
    with pytest.raises(ValueError, match=r"monitor must be in the logs.*val_loss.*'val_acc'"):
        fit(net, data, callback, "val_loss", [1.0, 2.0])


def test_validation_in_every_second_epoch(net, data, tmp_path):
    student = net(width=4)
    student.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = callbacks.ExportBest(tmp_path / "a.tflite")
    exported = []
    callback._export = lambda *args, **options: exported.append(callback.model)
    options = {"validation_data": data, "validation_freq": 2, "verbose": 0}
    student.fit(*data, epochs=4, callbacks=[callback], **options)
    assert callback.epoch in (1, 3)
    assert exported


@pytest.mark.parametrize(
    ("path", "options", "what"),
    [
        ("a.tflite", {"quantization": "int8"}, "calibration must be given"),
        ("a.tflite", {"quantization": "int8", "calibration": X[:, :5]}, "calibration"),
        ("a.tflite", {"verify": (X, np.arange(3))}, "samples"),
        ("a.tflite", {"labels": ["only one"]}, "labels"),
        ("a", {"verify": X[:, :5]}, "verify"),
    ],
)
def test_what_does_not_fit_the_student_is_refused_before_the_first_step(
    net, data, tmp_path, path, options, what
):
    callback = callbacks.ExportBest(tmp_path / path, monitor="loss", **options)
    distiller = Distiller(student=net(width=4), teacher=net())
    distiller.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    steps = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: pytest.fail("a step"))
    with pytest.raises((TypeError, ValueError), match=what):
        distiller.fit(*data, verbose=0, callbacks=[callback, steps])


@pytest.mark.skipif(
    not hasattr(keras.quantizers, "fake_quant_with_min_max_vars"), reason="needs Keras 3.9 or newer"
)
def test_a_student_that_brings_its_ranges_needs_no_samples(net, data, tmp_path):
    callback = callbacks.ExportBest(tmp_path / "a.tflite", monitor="loss", quantization="int8")
    student = compression.quantize_aware(net(width=4))
    distiller = Distiller(student=student, teacher=net())
    distiller.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    distiller.fit(*data, epochs=1, verbose=0, callbacks=[callback])
    assert callback.report.float_operators == {}


def test_a_model_that_the_first_batch_builds(data, tmp_path):
    x, y = data
    for options, error in (({}, None), ({"labels": ["only one"]}, ValueError)):
        callback = callbacks.ExportBest(tmp_path / "a.tflite", monitor="loss", **options)
        model = keras.Sequential([keras.layers.Dense(3)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        if error is None:
            model.fit(x, y, verbose=0, callbacks=[callback])
            assert callback.report is not None
        else:
            with pytest.raises(error, match="labels"):
                model.fit(x, y, verbose=0, callbacks=[callback])
