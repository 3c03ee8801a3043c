import csv

import keras
import numpy as np
import pytest

from keras_kd import Distiller, losses
from keras_kd.callbacks import Schedule, shapes

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def distiller(net):
    def build(**kwargs):
        made = Distiller(student=net(width=4), teacher=net(), **kwargs)
        made.compile(keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY)
        return made

    return build


def test_each_epoch_has_its_value_whatever_comes_first(distiller, data, tmp_path):
    schedule = Schedule("alpha", shapes.linear(1.0, 0.0, over=4))
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = distiller().fit(*data, epochs=4, verbose=0, callbacks=[logger, schedule]).history
    assert history["alpha"] == [1.0, 0.75, 0.5, 0.25]
    with open(tmp_path / "log.csv", newline="") as file:
        assert [float(row["alpha"]) for row in csv.DictReader(file)] == history["alpha"]
    for n, alpha in enumerate(history["alpha"]):
        blend = alpha * history["hard_loss"][n] + (1 - alpha) * history["soft_targets"][n]
        assert history["loss"][n] == pytest.approx(blend, rel=1e-5)


@pytest.mark.parametrize("every", ["epoch", "step"])
def test_no_new_trace(net, data, every):
    traces = []

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            traces.append(1)
            return inputs

    student = keras.Sequential([keras.Input((4,)), Counted(), keras.layers.Dense(3)])
    distiller = Distiller(student=student, teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY, run_eagerly=False)
    distiller.fit(*data, batch_size=8, verbose=0)
    before = len(traces)
    scheduled = [
        Schedule("alpha", lambda count: 1 / (2 + count), every),
        Schedule("temperature", lambda count: 1.0 + count, every),
    ]
    logs = distiller.fit(*data, batch_size=8, epochs=3, verbose=0, callbacks=scheduled).history
    if keras.backend.backend() != "torch":  # which traces nothing
        assert len(traces) == before
    assert len(set(logs["temperature"])) == 3


def test_steps_count_on_over_epochs_and_later_trainings(distiller, data):
    seen = []

    def fn(step):
        seen.append(step)
        return 0.5

    model = distiller()
    schedule = Schedule("alpha", fn, every="step")
    model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=[schedule])
    model.fit(*data, batch_size=8, epochs=1, verbose=0, callbacks=[schedule])
    assert seen == list(range(9))


def test_a_second_fit_assigns_what_it_logs(distiller, data):
    model, schedule = distiller(), Schedule("alpha", lambda step: 0.25, every="step")
    for _ in range(2):
        logs = model.fit(*data, verbose=0, callbacks=[schedule]).history
        assert logs["alpha"] == [float(keras.ops.convert_to_numpy(model.alpha))] == [0.25]
        model.alpha.assign(0.75)


def test_temperatures_of_several_outputs(data):
    def model(seed):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((4,))
        return keras.Model(inputs, {n: keras.layers.Dense(3, name=n)(inputs) for n in ("a", "b")})

    made = Distiller(student=model(0), teacher=model(1))
    made.compile("sgd", loss={"a": CROSS_ENTROPY, "b": CROSS_ENTROPY})
    x, y = data
    y = {"a": y, "b": y}

    def fit(*scheduled):
        logs = made.fit(x, y, verbose=0, callbacks=list(scheduled)).history
        values = [float(keras.ops.convert_to_numpy(term.temperature)) for term in made.terms]
        return logs, values

    logs, values = fit(Schedule("temperature", lambda epoch: 2.0))
    assert logs["temperature"] == [2.0]
    assert values == [2.0, 2.0]
    one = f"{made.terms[1].name}_temperature"
    logs, values = fit(Schedule(one, lambda epoch: 3.0))
    assert logs[one] == [3.0]
    assert values == [2.0, 3.0]
    logs, values = fit(Schedule(made.temperature, lambda epoch: 4.0))
    assert f"{made.terms[0].name}_temperature" in logs
    assert values == [4.0, 3.0]


def test_resuming_takes_it_up_where_it_stopped(distiller, data, tmp_path):
    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def scheduled():
        return [
            Schedule("temperature", shapes.step({0: 4.0, 1: 3.0, 3: 1.0})),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        ]

    with pytest.raises(KeyboardInterrupt):
        distiller().fit(*data, epochs=4, verbose=0, callbacks=[*scheduled(), Killed()])
    history = distiller().fit(*data, epochs=4, verbose=0, callbacks=scheduled()).history
    assert history["temperature"] == [3.0, 1.0]


def test_keras_own_schedules_and_variables_serve(distiller, data):
    model = distiller(terms=[losses.SoftTargets(), losses.LogitMSE()])
    decay = keras.optimizers.schedules.CosineDecay(1.0, 6)
    scheduled = [
        Schedule("soft_targets_weight", decay, every="step"),
        Schedule(model.hard_weight, lambda epoch: np.float32(0.5)),
        Schedule("soft_targets_temperature", lambda epoch: 2.0),
    ]
    history = model.fit(*data, batch_size=8, epochs=2, verbose=0, callbacks=scheduled).history
    want = [float(keras.ops.convert_to_numpy(decay(step))) for step in (2, 5)]
    assert history["soft_targets_weight"] == pytest.approx(want, rel=1e-6)
    assert history["hard_weight"] == [0.5, 0.5]
    assert float(keras.ops.convert_to_numpy(model.terms[0].temperature)) == 2.0


def test_wrong_use(distiller, data, net):
    for arguments, error, match in [
        (("alpha", 0.5), TypeError, "fn must be a function of one number"),
        (("alpha", lambda: 0.5), TypeError, "fn must be a function of one number"),
        (("alpha", lambda epoch: 0.5, "batch"), ValueError, "every must say what fn counts"),
    ]:
        with pytest.raises(error, match=match):
            Schedule(*arguments)
    model = distiller()
    steps = []
    spy = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))

    def fit(schedule, model=model):
        model.fit(*data, epochs=2, verbose=0, callbacks=[spy, schedule])

    for schedule, error, match in [
        (Schedule("alhpa", lambda epoch: 0.5), ValueError, r"variable must be.*mean 'alpha'"),
        (Schedule("temprature", lambda e: 1.0), ValueError, "Did you mean 'temperature'"),
        (Schedule("hard_weight", lambda e: 1.0), ValueError, "variable must be a setting"),
        (Schedule(net().variables[0], lambda e: 1.0), ValueError, "variable must be a setting"),
        (Schedule("alpha", shapes.linear(0.5, 1.5, 9)), ValueError, "from 0 to 1.*1.5, at one of"),
        (Schedule("alpha", lambda e: -0.5), ValueError, "schedule of alpha.*-0.5, epoch 0"),
        (Schedule("temperature", lambda e: "4"), TypeError, "schedule of temperature.*'4'"),
    ]:
        with pytest.raises(error, match=match):
            fit(schedule)
    assert not steps
    plain = net()
    plain.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(TypeError, match="must be given to the fit of a Distiller"):
        fit(Schedule("alpha", lambda epoch: 0.5), plain)


def test_callbacks_come_in_a_list_of_keras_too(distiller, data):
    model, kept = distiller(), []
    reader = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(logs))
    given = keras.callbacks.CallbackList(
        [reader, Schedule("alpha", lambda epoch: 0.25)], add_history=True, model=model
    )
    model.fit(*data, verbose=0, callbacks=given)
    assert kept[0]["alpha"] == 0.25


def test_one_setting_has_one_schedule(distiller, data):
    model = distiller()
    for two in [("alpha", "alpha"), ("alpha", model.alpha), (model.temperature, "temperature")]:
        given = [Schedule(each, lambda epoch: 0.5) for each in two]
        with pytest.raises(ValueError, match="A setting must have one Schedule"):
            model.fit(*data, epochs=1, verbose=0, callbacks=given)
    given = [Schedule(each, lambda epoch: 0.5) for each in ("alpha", "temperature")]
    model.fit(*data, epochs=1, verbose=0, callbacks=given)
