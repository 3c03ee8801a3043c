import csv

import keras
import numpy as np
import pytest

from keras_kd import Distiller, losses
from keras_kd.callbacks import EndDistillation, Schedule, shapes

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def distiller(net):
    def build(student=None, **kwargs):
        made = Distiller(student=student or net(width=4), teacher=net(), **kwargs)
        made.compile(keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY, metrics=["accuracy"])
        return made

    return build


@pytest.mark.parametrize("terms", [None, [losses.SoftTargets()]])
def test_after_it_the_student_trains_as_if_alone(distiller, net, data, terms):
    student, alone = net(width=4), net(width=4)
    model = distiller(student, terms=terms)
    options = {"batch_size": 8, "verbose": 0, "shuffle": False}
    history = model.fit(*data, epochs=2, callbacks=[EndDistillation(after=2)], **options).history
    assert history["distils"] == [1.0, 1.0]
    assert len(history["soft_targets"]) == 2
    alone.set_weights(student.get_weights())
    end = EndDistillation(after=2)
    history = model.fit(*data, initial_epoch=2, epochs=4, callbacks=[end], **options).history
    alone.compile(keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY, metrics=["accuracy"])
    wanted = alone.fit(*data, epochs=2, **options).history
    assert end.ended == 2
    assert set(history) == {"loss", "hard_loss", "accuracy", "distils", "soft_targets"}
    assert np.isnan(history["soft_targets"]).all()
    np.testing.assert_allclose(history["loss"], wanted["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["hard_loss"], wanted["loss"], rtol=1e-5)
    assert history["accuracy"] == pytest.approx(wanted["accuracy"])
    for got, want in zip(student.get_weights(), alone.get_weights()):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_it_ends_within_one_training(distiller, data):
    model = distiller()
    options = {"batch_size": 8, "verbose": 0, "validation_data": data}
    history = model.fit(*data, epochs=3, callbacks=[EndDistillation(after=1)], **options).history
    assert history["distils"] == [1.0, 0.0, 0.0]
    np.testing.assert_array_equal(np.isnan(history["soft_targets"]), [False, True, True])
    assert {len(column) for column in history.values()} == {3}
    assert not model.distils
    assert history["loss"][1:] == pytest.approx(history["hard_loss"][1:])
    model.compile("sgd", loss=CROSS_ENTROPY)  # begins anew
    assert model.distils


def test_no_teacher_is_asked_after_it(net, data):
    asked = []

    class Asked(keras.layers.Layer):
        def call(self, inputs):
            asked.append(1)
            return inputs

    teacher = keras.Sequential([keras.Input((4,)), Asked(), keras.layers.Dense(3)])
    model = Distiller(student=net(width=4), teacher=teacher)
    model.compile("sgd", loss=CROSS_ENTROPY, run_eagerly=True)
    counts = []
    spy = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: counts.append(len(asked)))
    callbacks = [spy, EndDistillation(after=1)]
    model.fit(*data, batch_size=8, epochs=3, verbose=0, callbacks=callbacks)
    assert counts[0] >= 3
    assert counts == [counts[0]] * 3


def test_when_it_stops_helping(distiller, data):
    values = iter([0.5, 0.6, 0.55, 0.6, 0.7])
    score = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(score=next(values))
    )
    score.order = -1  # before those that read it
    end = EndDistillation(patience=2, monitor="score", mode="max")
    history = distiller().fit(*data, epochs=5, verbose=0, callbacks=[score, end]).history
    assert history["distils"] == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert (end.ended, end.best) == (4, 0.6)


def test_a_schedule_does_not_bring_it_back_and_a_resumed_training_stays(distiller, data, tmp_path):
    def callbacks(**when):
        return [
            Schedule("alpha", shapes.linear(0.5, 0.1, over=9)),
            EndDistillation(**when),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        ]

    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distiller().fit(*data, epochs=9, verbose=0, callbacks=[*callbacks(after=1), Killed()])
    model = distiller()
    patient = callbacks(patience=9, monitor="loss")
    history = model.fit(*data, epochs=4, verbose=0, callbacks=patient).history
    assert history["distils"] == [0.0, 0.0]
    assert np.isnan(history["alpha"]).all()
    assert history["loss"] == pytest.approx(history["hard_loss"])


@pytest.mark.parametrize("terms", [None, [losses.SoftTargets()]])
def test_compile_begins_anew_and_files_go_on(distiller, net, data, terms, tmp_path):
    model = distiller(terms=terms)
    settings = {"hard_weight": 0.3} if terms else {"alpha": 0.1, "temperature": 2.0}
    share = 0.3 if terms else 0.1

    def compiled(model):
        model.compile(keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY, **settings)
        return model

    def last(model, **given):
        history = model.fit(*data, verbose=0, **given).history
        assert {len(column) for column in history.values()} == {given.get("epochs", 1)}
        return {name: column[-1] for name, column in history.items()}

    ending = {"epochs": 2, "callbacks": [EndDistillation(after=1)]}
    logs = last(compiled(model), **ending)
    assert logs["loss"] == pytest.approx(logs["hard_loss"])
    assert "loss=1 hard_loss + 0 soft_targets" in repr(model)
    model.save(tmp_path / "d.keras")
    model.save_weights(tmp_path / "d.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "d.keras")
    loaded.teacher = net()
    restored = compiled(Distiller(student=net(width=4), teacher=net(), terms=terms))
    restored.load_weights(tmp_path / "d.weights.h5")
    for ended in (model, loaded, restored):
        logs = last(ended)
        assert set(logs) == {"loss", "hard_loss"}
        assert logs["loss"] == pytest.approx(logs["hard_loss"])
        logs = last(compiled(ended))
        rest = 1.0 if terms else 1 - share
        blend = share * logs["hard_loss"] + rest * logs["soft_targets"]
        assert logs["loss"] == pytest.approx(blend, rel=1e-5)


def test_a_warm_up_from_0_does_not_end_it_and_columns_of_others_stay(distiller, data):
    sometimes = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update({} if epoch % 2 else {"val_f1": 0.5})
    )
    model = distiller(terms=[losses.SoftTargets(name="soft")])
    callbacks = [
        Schedule("soft_weight", shapes.warm_up(1.0, over=3)),
        EndDistillation(after=4),
        sometimes,
    ]
    history = model.fit(*data, epochs=6, verbose=0, callbacks=callbacks).history
    assert history["distils"] == [1.0] * 4 + [0.0] * 2
    assert history["val_f1"] == [0.5] * 3
    for name in ("soft", "soft_weight"):
        np.testing.assert_array_equal(np.isnan(history[name]), [False] * 4 + [True] * 2)


def test_wrong_use(distiller, data, net):
    for arguments, error, match in [
        ({}, ValueError, "must have after="),
        ({"after": 0}, ValueError, "after must be an integer"),
        ({"after": 1.5}, TypeError, "after must be an integer"),
        ({"patience": 0}, ValueError, "patience must be an integer"),
        ({"patience": 1, "min_delta": -1}, ValueError, "min_delta must be"),
        ({"patience": 1, "monitor": "score"}, ValueError, "mode must say"),
    ]:
        with pytest.raises(error, match=match):
            EndDistillation(**arguments)
    model = Distiller(student=net(width=4), teacher=net())
    model.compile("sgd", loss=None)
    with pytest.raises(ValueError, match=r"must have labels to go on with.*loss=None"):
        model.fit(data[0], verbose=0, callbacks=[EndDistillation(after=1)])
    with pytest.raises(ValueError, match=r"monitor must be in the logs.*'val_acc'"):
        distiller().fit(
            *data,
            verbose=0,
            validation_data=data,
            callbacks=[EndDistillation(patience=1, monitor="val_acc")],
        )


def test_a_csv_file_keeps_its_columns_when_a_training_is_resumed(distiller, data, tmp_path):
    path = tmp_path / "log.csv"

    def fit(model, first, last):
        callbacks = [
            keras.callbacks.CSVLogger(path, append=True),
            Schedule("alpha", shapes.linear(0.1, 0.9, over=4)),
            Schedule("temperature", shapes.linear(4.0, 1.0, over=4)),
            EndDistillation(after=2),
        ]
        epochs = {"initial_epoch": first, "epochs": last}
        model.fit(*data, batch_size=8, verbose=0, callbacks=callbacks, **epochs)

    model = distiller()
    fit(model, 0, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    fit(loaded, 3, 5)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in rows] == [0, 1, 2, 3, 4]
    assert [float(row["distils"]) for row in rows] == [1, 1, 0, 0, 0]
    for name in ("soft_targets", "alpha", "temperature"):
        assert np.isnan([float(row[name]) for row in rows]).tolist() == [False, False, *3 * [True]]
    for row in rows[2:]:
        assert float(row["loss"]) == pytest.approx(float(row["hard_loss"]), rel=1e-5)
