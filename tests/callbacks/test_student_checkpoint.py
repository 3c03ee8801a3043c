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
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, f"{path.name}.best.json"])
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
    assert sorted(os.listdir(tmp_path)) == ["student.keras", "student.keras.best.json"]
    for got, want in zip(keras.saving.load_model(path).get_weights(), kept[0]):
        np.testing.assert_array_equal(got, want)


def test_a_restart_keeps_the_best_and_a_new_training_does_not(net, data, tmp_path):
    path = tmp_path / "student.keras"

    class Score(keras.callbacks.Callback):
        def __init__(self, values, killed_at=None):
            super().__init__()
            self.values, self.killed_at = values, killed_at

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == self.killed_at:
                raise KeyboardInterrupt

        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = self.values[epoch]

    def train(score, **given):
        kept = StudentCheckpoint(path, "score", "max", **given)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        model = Distiller(student=net(width=4), teacher=net())
        model.compile("sgd", loss=CROSS_ENTROPY)
        callbacks = [score, kept, backup]
        model.fit(*data, epochs=len(score.values), verbose=0, callbacks=callbacks)
        return kept

    values = [0.5, 0.9, 0.6, 0.7]
    with pytest.raises(KeyboardInterrupt):
        train(Score(values, killed_at=2))
    best = path.read_bytes()
    kept = train(Score(values), initial_value_threshold=0.1)
    assert (kept.best, kept.epoch) == (0.9, 1)
    assert path.read_bytes() == best
    kept = train(Score([0.3, 0.4]))
    assert (kept.best, kept.epoch) == (0.4, 1)
    assert path.read_bytes() != best
    with pytest.raises(KeyboardInterrupt):
        train(Score([float("nan"), 0.2], killed_at=1))
    assert train(Score([float("nan"), 0.2])).best == 0.2  # not compared with another training


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


def test_it_keeps_one_file():
    with pytest.raises(ValueError, match="path must be one path"):
        StudentCheckpoint("student_{epoch}.keras")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"value": "high", "epoch": 1}'])
def test_a_damaged_note_of_the_best_is_refused(net, data, tmp_path, content):
    path = tmp_path / "student.keras"
    for place, text in [(path, "a student"), (tmp_path / "student.keras.best.json", content)]:
        place.write_text(text)
    model = Distiller(student=net(width=4), teacher=net())
    model.compile("sgd", loss=CROSS_ENTROPY)
    checkpoint = StudentCheckpoint(path, "loss")
    with pytest.raises(ValueError, match="must be as StudentCheckpoint wrote it"):
        model.fit(*data, initial_epoch=1, epochs=2, verbose=0, callbacks=[checkpoint])
