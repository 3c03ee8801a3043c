import os

import keras
import numpy as np
import pytest

from keras_kd import Distiller
from keras_kd.callbacks import StudentCheckpoint

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def fit(model, data, callback, values, name="score"):
    kept, values_of = [], iter(values)

    def log(epoch, logs):
        logs[name] = next(values_of)
        kept.append(getattr(model, "student", model).get_weights())

    logged = keras.callbacks.LambdaCallback(on_epoch_end=log)
    model.compile(keras.optimizers.SGD(0.5), loss=CROSS_ENTROPY)
    model.fit(*data, epochs=len(values), verbose=0, callbacks=[logged, callback])
    return kept


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
@pytest.mark.parametrize("distilled", [True, False])
def test_the_best_student_is_there_alone(net, data, tmp_path, ending, distilled):
    path = tmp_path / f"student{ending}"
    path.write_bytes(b"PK\x03\x04 an older one")
    model = Distiller(student=net(width=4), teacher=net()) if distilled else net(width=4)
    checkpoint = StudentCheckpoint(path, "score", "max")
    kept = fit(model, data, checkpoint, [0.1, 0.5, float("nan"), 0.2])
    assert (checkpoint.epoch, checkpoint.best) == (1, 0.5)
    assert os.listdir(tmp_path) == [path.name]
    if ending == ".keras":
        loaded = keras.saving.load_model(path)
        assert type(loaded) is keras.Sequential
    else:
        loaded = net(width=4)
        loaded.load_weights(path)
    for got, want in zip(loaded.get_weights(), kept[1]):
        np.testing.assert_array_equal(got, want)


def test_a_save_that_fails_leaves_the_best_before_it(net, data, tmp_path, monkeypatch):
    path = tmp_path / "student.keras"
    student = net(width=4)
    checkpoint = StudentCheckpoint(path, "score", "max")
    model = Distiller(student=student, teacher=net())
    kept = fit(model, data, checkpoint, [0.1])

    def half(target, *args, **kwargs):
        with open(target, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(student, "save", half)
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, checkpoint, [0.2])
    assert os.listdir(tmp_path) == ["student.keras"]
    for got, want in zip(keras.saving.load_model(path).get_weights(), kept[0]):
        np.testing.assert_array_equal(got, want)


def test_a_fit_that_has_no_epoch_left_keeps_nothing(net, data, tmp_path):
    model = Distiller(student=net(width=4), teacher=net())
    model.compile("sgd", loss=CROSS_ENTROPY)
    checkpoint = StudentCheckpoint(tmp_path / "a.keras", "loss")
    model.fit(*data, verbose=0, initial_epoch=1, callbacks=[checkpoint])
    assert not list(tmp_path.iterdir())


def test_wrong_use(net, data, tmp_path):
    for path, error, match in [
        (tmp_path / "no" / "a.keras", ValueError, "path must lie in a folder"),
        (tmp_path / "a.tflite", ValueError, "path must say by its ending"),
        (3, TypeError, "path must be a path"),
    ]:
        with pytest.raises(error, match=match):
            StudentCheckpoint(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    checkpoint = StudentCheckpoint(folder / "a.keras")
    folder.rmdir()
    model, steps = Distiller(student=net(width=4), teacher=net()), []
    spy = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    model.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(ValueError, match="path must lie in a folder"):
        model.fit(*data, verbose=0, callbacks=[spy, checkpoint])
    assert not steps
    with pytest.raises(ValueError, match="monitor must be in the logs"):
        fit(model, data, StudentCheckpoint(tmp_path / "a.keras", "val_score", "max"), [1.0])
