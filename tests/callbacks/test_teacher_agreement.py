import csv

import keras
import numpy as np
import pytest

from keras_kd import Distiller, SoftLabels, Term, losses, teachers
from keras_kd.callbacks import StudentCheckpoint, TeacherAgreement

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
NAMES = ("val_teacher_agreement", "val_teacher_kl", "val_calibration_error")


def log_softmax(z):
    z = np.asarray(z, "float64")
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def expected(teacher, student, labels, bins=15):
    """The three figures, in float64."""
    log_p, log_q = log_softmax(teacher), log_softmax(student)
    agreement = np.mean(log_p.argmax(-1) == log_q.argmax(-1))
    kl = np.mean((np.exp(log_p) * (log_p - log_q)).sum(-1))
    confidence, right = np.exp(log_q.max(-1)), log_q.argmax(-1) == labels
    known, error = labels >= 0, 0.0
    for n in range(bins):
        inside = known & (confidence > n / bins) & (confidence <= (n + 1) / bins)
        if inside.any():
            error += abs(right[inside].mean() - confidence[inside].mean()) * inside.sum()
    return agreement, kl, error / known.sum()


def sharpened(model, factor=4.0):
    model.set_weights([factor * weight for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_live_answers(net, data, activation, tmp_path):
    x, y = data
    y = y.copy()
    y[:3] = -1
    student, teacher = sharpened(net(activation=activation, width=4)), sharpened(net())
    distiller = Distiller(student=student, teacher=teacher)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None)
    distiller.compile(keras.optimizers.SGD(0.0), loss=loss, metrics=["accuracy"])
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    logs = distiller.fit(
        x, y, validation_data=(x, y), batch_size=10, epochs=2, verbose=0,
        callbacks=[logger, TeacherAgreement()],
    ).history  # fmt: skip
    given = keras.ops.convert_to_numpy(student(x))
    logits = given if activation is None else np.log(given)
    want = expected(keras.ops.convert_to_numpy(teacher(x)), logits, y)
    assert want[0] < 1
    for n in range(2):
        assert [logs[name][n] for name in NAMES] == pytest.approx(want, rel=1e-4)
    assert "teacher_agreement" not in logs
    with open(tmp_path / "log.csv", newline="") as file:
        assert set(NAMES) <= set(next(csv.DictReader(file)))
    # Afterwards no teacher is asked.
    assert set(distiller.evaluate(x, y, verbose=0, return_dict=True)) == {"loss", "accuracy"}


@pytest.mark.tensorflow
@pytest.mark.parametrize("top_k", [None, 2])
def test_stored_answers(net, data, top_k):
    x, y = data
    student, teacher = sharpened(net(width=4)), sharpened(net())
    options = {"top_k": top_k, "temperatures": (4.0,)} if top_k else {}
    soft = SoftLabels.write(None, teacher=teacher, data=x, **options)
    distiller = Distiller(student=student, teacher=soft)
    distiller.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY)
    dataset = soft.dataset(x, y, batch_size=10)
    logs = distiller.fit(
        dataset, validation_data=dataset, verbose=0, callbacks=[TeacherAgreement(bins=4)]
    ).history
    want = expected(teacher(x).numpy(), student(x).numpy(), y, bins=4)
    assert logs["val_teacher_agreement"][0] == pytest.approx(want[0], rel=1e-5)
    assert logs["val_calibration_error"][0] == pytest.approx(want[2], rel=1e-4)
    assert ("val_teacher_kl" in logs) == (top_k is None)
    if top_k is None:
        assert logs["val_teacher_kl"][0] == pytest.approx(want[1], rel=1e-3)


def test_beside_evaluated_terms_and_for_the_best_epoch(net, data, tmp_path):
    distiller = Distiller(student=net(width=4), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY, evaluate_terms=True)
    best = StudentCheckpoint(tmp_path / "best.keras", monitor="val_teacher_agreement")
    callbacks = [best, TeacherAgreement()]
    options = {"validation_data": data, "verbose": 0, "callbacks": callbacks}
    logs = distiller.fit(*data, epochs=2, **options).history
    assert {"val_soft_targets", *NAMES} <= set(logs)
    assert best.best == max(logs["val_teacher_agreement"])


def test_outputs_whose_classes_do_not_exclude_each_other(data):
    x, _ = data

    def model(seed):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((4,))
        heads = {
            "tags": keras.layers.Dense(3, name="tags")(inputs),
            "kind": keras.layers.Dense(2, name="kind")(inputs),
            "size": keras.layers.Dense(1, name="size", trainable=False)(inputs),
        }
        return sharpened(keras.Model(inputs, heads))

    student, teacher = model(0), model(1)
    terms = [losses.MultiLabelSoftTargets(), losses.SoftTargets()]
    terms = [Term(loss, output=name) for loss, name in zip(terms, ("tags", "kind"))]
    distiller = Distiller(student=student, teacher=teacher, terms=terms)
    given = {"kind": CROSS_ENTROPY}
    distiller.compile(keras.optimizers.SGD(0.0), loss=given)
    y = {"kind": np.zeros(24, int)}
    logs = distiller.fit(
        x, y, validation_data=(x, y), verbose=0, callbacks=[TeacherAgreement()]
    ).history
    t, s = (
        {k: keras.ops.convert_to_numpy(v) for k, v in each(x).items()}
        for each in (teacher, student)
    )
    kind = expected(t["kind"], s["kind"], y["kind"])
    assert [logs[f"val_kind_{n[4:]}"][0] for n in NAMES] == pytest.approx(kind, rel=1e-4)
    assert logs["val_tags_teacher_agreement"][0] == pytest.approx(
        np.mean((t["tags"] > 0) == (s["tags"] > 0)), rel=1e-5
    )
    p, q = (1 / (1 + np.exp(-each["tags"].astype("float64"))) for each in (t, s))
    kl = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert logs["val_tags_teacher_kl"][0] == pytest.approx(kl.mean(), rel=1e-4)
    assert not any("size" in name and "teacher" in name for name in logs)


@pytest.mark.tensorflow
def test_two_replicas_add_up(net, data, two_replicas):
    x, y = data
    with two_replicas.scope():
        student, teacher = sharpened(net(width=4)), sharpened(net())
        distiller = Distiller(student=student, teacher=teacher)
        distiller.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY)
    # One batch, because metrics of several on replicas go wrong in Keras 3.8.
    options = {"validation_data": data, "batch_size": 24, "verbose": 0}
    logs = distiller.fit(x, y, callbacks=[TeacherAgreement()], **options).history
    want = expected(teacher.predict(x, verbose=0), student.predict(x, verbose=0), y)
    assert [logs[name][0] for name in NAMES] == pytest.approx(want, rel=1e-4)


def test_wrong_use(net, data, tmp_path):
    with pytest.raises(ValueError, match="bins must be an integer"):
        TeacherAgreement(0)
    with pytest.raises(TypeError, match="bins must be an integer"):
        TeacherAgreement(1.5)
    plain = net()
    plain.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(TypeError, match="must be given to the fit of a Distiller"):
        plain.fit(*data, verbose=0, callbacks=[TeacherAgreement()])
    distiller = Distiller(student=net(width=4), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY, metrics=["accuracy"])
    with pytest.raises(ValueError, match="TeacherAgreement must have validation data"):
        distiller.fit(*data, verbose=0, callbacks=[TeacherAgreement()])
    assert not distiller.observers
    numbers = Distiller(
        student=net(width=4), teacher=net(), terms=[keras.losses.MeanSquaredError()]
    )
    numbers.compile("sgd", loss="mse")
    y = np.zeros((24, 3))
    with pytest.raises(ValueError, match="must have an output that sorts into classes"):
        numbers.fit(
            data[0], y, validation_data=(data[0], y), verbose=0, callbacks=[TeacherAgreement()]
        )


@pytest.mark.parametrize(
    ("monitor", "validates", "match"),
    [
        ("val_acuracy", True, "Pass e.g. monitor='val_accuracy'"),
        ("val_accuracy", False, "Pass validation_data"),
        ("soft_target_loss", True, "Pass e.g. monitor='soft_targets'"),
    ],
)
def test_a_monitor_that_cannot_come_is_refused_before_the_first_step(
    net, data, tmp_path, monitor, validates, match
):
    distiller = Distiller(student=net(width=4), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY, metrics=["accuracy"])
    before = distiller.student.get_weights()
    checkpoint = StudentCheckpoint(tmp_path / "s.keras", monitor, mode="max")
    with pytest.raises(ValueError, match=f"monitor must be in the logs.*{match}"):
        distiller.fit(
            *data, verbose=0, validation_data=data if validates else None, callbacks=[checkpoint]
        )
    for got, want in zip(distiller.student.get_weights(), before):
        np.testing.assert_array_equal(got, want)


def test_it_measures_in_an_evaluation_of_its_own(net, data):
    student, teacher = net(width=4), net()
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile("sgd", loss=CROSS_ENTROPY)  # no temperature has been found yet
    found = distiller.evaluate(*data, verbose=0, return_dict=True, callbacks=[TeacherAgreement()])
    outputs = [keras.ops.convert_to_numpy(model(data[0])) for model in (teacher, student)]
    want = expected(*outputs, data[1])
    assert [found[name.removeprefix("val_")] for name in NAMES] == pytest.approx(want, rel=1e-4)
    assert set(distiller.evaluate(*data, verbose=0, return_dict=True)) == {"loss"}


@pytest.mark.parametrize("loss", [losses.SoftTargets(20.0), losses.LogitMSE()])
def test_an_ensemble_is_read_at_temperature_1_whatever_trains(net, data, loss):
    x, y = data
    student, members = sharpened(net(width=4)), [sharpened(net(), 9.0), net()]
    distiller = Distiller(student=student, teacher=teachers.Ensemble(members), terms=[loss])
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    found = distiller.evaluate(x, y, verbose=0, return_dict=True, callbacks=[TeacherAgreement()])
    teacher, other, logits = (
        log_softmax(keras.ops.convert_to_numpy(model(x))) for model in (*members, student)
    )
    want = expected(np.log((np.exp(teacher) + np.exp(other)) / 2), logits, y)
    assert [found[name.removeprefix("val_")] for name in NAMES] == pytest.approx(want, rel=1e-4)


@pytest.mark.tensorflow
@pytest.mark.parametrize("temperatures", [(4.0,), (4.0, 1.0)])
def test_stored_means_give_the_divergence_at_temperature_1_or_none(net, data, temperatures):
    x, y = data
    student, members = sharpened(net(width=4)), [sharpened(net(), 9.0), net()]
    ensemble = teachers.Ensemble(members)
    soft = SoftLabels.write(None, teacher=ensemble, data=x, temperatures=temperatures)
    distiller = Distiller(student=student, teacher=soft)
    distiller.compile("sgd", loss=CROSS_ENTROPY, temperature=4.0)
    found = distiller.evaluate(
        soft.dataset(x, y, batch_size=10), verbose=0, return_dict=True,
        callbacks=[TeacherAgreement()],
    )  # fmt: skip
    assert {"teacher_agreement", "calibration_error"} <= set(found)
    if 1.0 not in temperatures:
        assert "teacher_kl" not in found
        return
    mean = sum(np.exp(log_softmax(model(x))) for model in members) / 2
    want = expected(np.log(mean), student(x), y)
    assert found["teacher_agreement"] == pytest.approx(want[0], rel=1e-5)
    assert found["teacher_kl"] == pytest.approx(want[1], rel=1e-3)


def test_what_is_not_taught_or_has_no_labels(net, data):
    x, y = data

    def model(seed):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((4,))
        return keras.Model(inputs, {n: keras.layers.Dense(3, name=n)(inputs) for n in ("a", "b")})

    student, teacher = model(0), model(1)
    terms = [Term(losses.SoftTargets(), output="a")]
    distiller = Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile("sgd", loss={"a": CROSS_ENTROPY, "b": CROSS_ENTROPY})
    given = {"verbose": 0, "return_dict": True, "callbacks": [TeacherAgreement()]}
    found = distiller.evaluate(x, {"a": -np.ones_like(y), "b": y}, **given)
    assert not any("b_" in name and "loss" not in name for name in found)
    assert np.isnan(found["a_calibration_error"])
    assert np.isfinite(found["a_teacher_kl"])


def test_unlabelled_data_have_agreement(net, data):
    x, _ = data
    student, teacher = net(width=4), net()
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.SGD(0.0), loss=None)
    logs = distiller.fit(x, validation_data=x, verbose=0, callbacks=[TeacherAgreement()]).history
    outputs = [keras.ops.convert_to_numpy(model(x)) for model in (teacher, student)]
    want = expected(*outputs, np.zeros(len(x)))[:2]
    assert [logs[name][0] for name in NAMES[:2]] == pytest.approx(want, rel=1e-4)
    assert np.isnan(logs["val_calibration_error"][0])
    with pytest.raises(ValueError, match="evaluate must have a loss"):
        distiller.evaluate(x, verbose=0)


def test_a_fit_that_is_interrupted_leaves_no_observer(net, data):
    class Killed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    distiller = Distiller(student=net(width=4), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    callbacks = [TeacherAgreement(), Killed()]
    with pytest.raises(KeyboardInterrupt):
        distiller.fit(*data, validation_data=data, verbose=0, callbacks=callbacks)
    assert not distiller.observers
    assert set(distiller.evaluate(*data, verbose=0, return_dict=True)) == {"loss"}


@pytest.mark.tensorflow
def test_a_validation_without_the_stored_answers_is_refused(net, data):
    soft = SoftLabels.write(None, teacher=net(), data=data[0], verbose=0)
    distiller = Distiller(student=net(width=4), teacher=soft)
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    given = {"validation_data": data, "callbacks": [TeacherAgreement()], "verbose": 0}
    with pytest.raises(ValueError, match="Validation data must carry the stored answers"):
        distiller.fit(soft.dataset(*data), **given)
