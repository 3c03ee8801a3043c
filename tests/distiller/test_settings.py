"""What acts on the next execution, without a new trace."""

import keras
import pytest

from keras_kd import Distiller
from keras_kd.losses import SoftTargets

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_alpha_temperature_and_weights_act_without_a_new_trace(net, data, frozen, soft_targets):
    x, y = data
    traces = []

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            traces.append(1)
            return inputs

    student = keras.Sequential([keras.Input((4,)), Counted(), keras.layers.Dense(3)])
    teacher = net(width=32)
    distiller = Distiller(student=student, teacher=teacher)
    run = frozen(distiller, CROSS_ENTROPY)
    run(x, y)
    before = len(traces)
    distiller.alpha.assign(0.75)
    distiller.temperature.assign(2.0)
    distiller.terms[0].weight.assign(0.5)
    logs = {k: v[0] for k, v in distiller.fit(x, y, batch_size=24, verbose=0).history.items()}
    assert len(traces) == before
    soft = soft_targets(teacher(x), student(x), 2.0).mean()
    assert logs["soft_targets"] == pytest.approx(soft, rel=1e-5)
    assert logs["loss"] == pytest.approx(0.75 * logs["hard_loss"] + 0.25 * 0.5 * soft, rel=1e-5)


def test_hard_weight_and_a_terms_temperature_are_live(net, data, frozen, soft_targets):
    x, y = data
    student, teacher = net(), net(width=32)
    loss = SoftTargets()
    distiller = Distiller(student=student, teacher=teacher, terms=[loss])
    run = frozen(distiller, CROSS_ENTROPY)
    run(x, y)
    distiller.hard_weight.assign(0.0)
    distiller.terms[0].temperature.assign(1.5)
    logs = distiller.fit(x, y, batch_size=24, verbose=0).history
    assert logs["loss"][0] == pytest.approx(
        soft_targets(teacher(x), student(x), 1.5).mean(), rel=1e-5
    )
    assert loss.temperature == 4.0  # the caller's own


def test_another_teacher_teaches_from_the_next_fit_on(net, data, frozen, soft_targets):
    x, y = data
    student, second = net(), net(width=16)
    distiller = Distiller(student=student, teacher=net(width=32))
    frozen(distiller, CROSS_ENTROPY)(x, y)
    distiller.teacher = second
    logs = distiller.fit(x, y, batch_size=24, verbose=0).history
    expected = soft_targets(second(x), student(x), 4.0).mean()
    assert logs["soft_targets"][0] == pytest.approx(expected, rel=1e-5)
    assert distiller.teacher is second


def test_one_temperature_for_all_outputs_of_the_plain_form(data):
    inputs = keras.Input((4,))
    models = [
        keras.Model(inputs, [keras.layers.Dense(n)(inputs) for n in (2, 3)]) for _ in range(2)
    ]
    distiller = Distiller(student=models[0], teacher=models[1])
    distiller.temperature.assign(7.0)
    assert [float(term.temperature) for term in distiller.terms] == [7.0, 7.0]


def test_what_is_assigned_in_the_middle_of_an_epoch_acts_on_the_next_step(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    distiller.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY, alpha=1.0)
    losses = []

    def on_train_batch_end(batch, logs):  # not a method of a callback that knows its model
        losses.append(logs)
        distiller.alpha.assign(0.0)
        distiller.terms[0].weight.assign(0.0)

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=on_train_batch_end)
    distiller.fit(x, y, batch_size=12, shuffle=False, verbose=0, callbacks=[watch])
    first, mean = float(losses[0]["loss"]), float(losses[1]["loss"])
    assert first == pytest.approx(float(losses[0]["hard_loss"]), rel=1e-6)
    assert mean == pytest.approx(first / 2, rel=1e-6)  # the second step's loss is 0


def test_a_schedule_changes_the_loss_from_epoch_to_epoch_with_one_trace(net, data):
    x, y = data

    class Schedule(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.alpha.assign(1.0 / (1 + epoch))
            self.model.temperature.assign(1.0 + epoch)

    traces = []

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            traces.append(1)
            return inputs

    student = keras.Sequential([keras.Input((4,)), Counted(), net()])
    distiller = Distiller(student=student, teacher=net(width=32))
    distiller.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY)
    fit = {"batch_size": 24, "verbose": 0, "callbacks": [Schedule()]}
    history = distiller.fit(x, y, **fit).history
    before = len(traces)
    for name, values in distiller.fit(x, y, epochs=3, **fit).history.items():
        history[name] += values
    assert len(traces) == before
    for epoch in range(3):
        alpha, row = 1.0 / (1 + epoch), {name: v[1 + epoch] for name, v in history.items()}
        expected = alpha * row["hard_loss"] + (1 - alpha) * row["soft_targets"]
        assert row["loss"] == pytest.approx(expected, rel=1e-5)
