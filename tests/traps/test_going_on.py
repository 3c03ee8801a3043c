"""Training that changes its settings, is saved and goes on."""

import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from tests.traps.formulas import frozen, hard, logs_of, net, soft


@pytest.mark.filterwarnings("ignore:`compile")
def test_10_loaded_training_goes_on(system, data, tmp_path):
    x, y = data
    fit = {"batch_size": 5, "shuffle": False, "verbose": 0}
    students = []
    for stops in (False, True):
        keras.utils.set_random_seed(1)
        teacher = net(width=32)
        model = system.build(net(), teacher)
        system.compile(model, keras.optimizers.Adam(0.01))
        model.fit(x, y, epochs=2, **fit)
        if stops:
            model.save(tmp_path / "distiller.keras")
            model = keras.saving.load_model(tmp_path / "distiller.keras")
            system.set_teacher(model, teacher)
        model.fit(x, y, epochs=4, initial_epoch=2, **fit)
        students.append(model.student.get_weights())
    for a, b in zip(*students):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_11_alpha_and_temperature_are_live(system, data):
    x, y = data
    traces = []

    class Counted(layers.Layer):
        def call(self, inputs):
            traces.append(1)
            return inputs

    student = keras.Sequential([keras.Input((4,)), Counted(), layers.Dense(3)])
    teacher = net(width=32)
    model = system.build(student, teacher)
    system.compile(model, frozen())
    logs_of(model, x, y)
    before = len(traces)
    change = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: system.set_live(model, 0.75, 1.5)
    )
    logs = logs_of(model, x, y, callbacks=[change])
    assert len(traces) == before
    h, s = hard(y, student(x)).mean(), soft(teacher(x), student(x), 1.5).mean()
    assert logs["loss"] == pytest.approx(0.75 * h + 0.25 * s, rel=1e-5)


def test_20_no_file_holds_the_teacher(system, data, tmp_path):
    x, y = data
    model = system.build(net(), net(width=512))
    model.build((None, 4))
    system.compile(model)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    model.fit(x, y, verbose=0, callbacks=[backup])
    model.save(tmp_path / "distiller.keras")
    model.save_weights(tmp_path / "distiller.weights.h5")
    with zipfile.ZipFile(tmp_path / "distiller.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    files = list(tmp_path.rglob("*.h5"))
    assert len(files) == 3
    for path in files:
        shapes = []
        with h5py.File(path) as file:
            file.visititems(lambda _, item, found=shapes: found.append(getattr(item, "shape", ())))
        assert (4, 8) in shapes
        assert not [shape for shape in shapes if 512 in shape], path.name
