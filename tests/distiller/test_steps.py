"""Evaluation is the student's own, and changes nothing."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller, SoftLabels, Term
from keras_kd.losses import HardLabels, Hint

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_evaluation_is_the_students(net, data):
    x, y = data
    student = net(kernel_regularizer="l2")

    class Silent(keras.Model):
        def call(self, x):
            raise AssertionError("the teacher was asked")

    distiller = Distiller(student=student, teacher=net())
    distiller.compile("adam", loss=CROSS_ENTROPY, metrics=["accuracy"], alpha=0.1, temperature=4.0)
    history = distiller.fit(x, y, validation_data=(x, y), verbose=0).history
    assert set(history) == {
        *("loss", "hard_loss", "soft_targets", "accuracy"),
        *("val_loss", "val_accuracy"),
    }
    silent = Silent()
    silent.built = True
    distiller._objective.teacher.model = silent
    distiller._objective.teacher._logits.model = silent
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    student.compile("adam", loss=CROSS_ENTROPY, metrics=["accuracy"])
    assert logs == pytest.approx(student.evaluate(x, y, verbose=0, return_dict=True), rel=1e-6)
    assert distiller.test_on_batch(x, y, return_dict=True) == pytest.approx(logs, rel=1e-6)
    np.testing.assert_array_equal(distiller.predict(x, verbose=0), student.predict(x, verbose=0))


def test_evaluation_changes_nothing(net, data):
    x, y = data
    student = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), net()])
    distiller = Distiller(student=student, teacher=net())
    distiller.compile("adam", loss=CROSS_ENTROPY)
    before = student.get_weights()
    first = distiller.evaluate(x, y, verbose=0)
    assert distiller.evaluate(x, y, verbose=0) == first
    for a, b in zip(before, student.get_weights()):
        np.testing.assert_array_equal(a, b)


# With the teacher


def test_terms_are_evaluated_where_that_is_asked_for(net, data, soft_targets, cross_entropy):
    x, y = data
    student, teacher = net(), net(width=32)
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(
        "sgd",
        loss=CROSS_ENTROPY,
        metrics=["accuracy"],
        evaluate_terms=True,
        alpha=0.1,
        temperature=4.0,
    )
    history = distiller.fit(x, y, validation_data=(x, y), verbose=0).history
    assert set(history) == {
        *("loss", "hard_loss", "soft_targets", "accuracy"),
        *("val_loss", "val_soft_targets", "val_accuracy"),
    }
    soft, hard = (
        soft_targets(teacher(x), student(x), 4.0).mean(),
        cross_entropy(y, student(x)).mean(),
    )
    accuracy = float(np.mean(np.asarray(student(x)).argmax(-1) == y))
    expected = {"loss": hard, "soft_targets": soft, "accuracy": accuracy}
    assert distiller.evaluate(x, y, batch_size=7, verbose=0, return_dict=True) == pytest.approx(
        expected, rel=1e-5
    )
    assert distiller.test_on_batch(x, y, return_dict=True) == pytest.approx(expected, rel=1e-5)
    weight = np.linspace(0, 2, 24).astype("float32")
    logs = distiller.evaluate(
        x, y, sample_weight=weight, verbose=0, batch_size=24, return_dict=True
    )
    expected = (soft_targets(teacher(x), student(x), 4.0) * weight).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(distiller.predict(x, verbose=0), student.predict(x, verbose=0))
    distiller.compile("sgd", loss=CROSS_ENTROPY, alpha=0.1, temperature=4.0)
    assert set(distiller.evaluate(x, y, verbose=0, return_dict=True)) == {"loss"}


def test_weights_count_without_labels(net, data, soft_targets):
    x, _ = data
    student, teacher = net(), net(width=32)
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.SGD(0.0), evaluate_terms=True, alpha=0.1, temperature=4.0)
    weight = np.linspace(0, 2, 24).astype("float32")
    expected = (soft_targets(teacher(x), student(x), 4.0) * weight).mean()
    by_batch = distiller.test_on_batch(x, sample_weight=weight)
    history = distiller.fit(
        *(x, None),
        sample_weight=weight,
        validation_data=(x, None, weight),
        batch_size=24,
        verbose=0,
    ).history
    evaluated = distiller.evaluate(x, sample_weight=weight, batch_size=24, verbose=0)
    found = [by_batch, evaluated, *history["soft_targets"], *history["val_soft_targets"]]
    assert found == pytest.approx([expected] * 4, rel=1e-5)
    distiller.compile("sgd", metrics=["accuracy"], evaluate_terms=True, alpha=0.1, temperature=4.0)
    with pytest.raises(ValueError, match="y must hold labels for the loss and the metrics"):
        distiller.evaluate(x, sample_weight=weight, verbose=0)


@pytest.mark.parametrize("labels", [False, True])
def test_a_run_without_labels_stops_early(net, data, soft_targets, labels):
    x, y = data
    student, teacher = net(), net(width=32)
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.SGD(0.0), evaluate_terms=True, alpha=0.1, temperature=4.0)
    stop = keras.callbacks.EarlyStopping("val_soft_targets", patience=1)
    given = (x, y) if labels else (x,)
    history = distiller.fit(x, validation_data=given, epochs=9, callbacks=[stop], verbose=0).history
    assert set(history) == {"loss", "soft_targets", "val_soft_targets"}
    assert len(history["loss"]) == 2
    expected = soft_targets(teacher(x), student(x), 4.0).mean()
    assert history["val_soft_targets"][0] == pytest.approx(expected, rel=1e-5)
    assert distiller.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_the_terms_of_another_teacher_are_evaluated(net, data, soft_targets, tmp_path):
    x, _ = data
    student, teachers = net(), [net(width=16), net(width=32)]
    distiller = Distiller(student=student, teacher=teachers[0])
    distiller.compile("sgd", evaluate_terms=True, alpha=0.1, temperature=4.0)
    for teacher in teachers:
        distiller.teacher = teacher
        expected = soft_targets(teacher(x), student(x), 4.0).mean()
        assert distiller.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)
    teacher.set_weights([0.5 * weight for weight in teacher.get_weights()])
    expected = soft_targets(teacher(x), student(x), 4.0).mean()
    assert distiller.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)
    distiller.save(tmp_path / "d.keras")
    loaded = keras.saving.load_model(tmp_path / "d.keras")
    with pytest.raises(ValueError, match="The teacher must be set"):
        loaded.evaluate(x, verbose=0)
    loaded.teacher = teacher
    assert loaded.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_terms_on_features_are_evaluated_too(net, data):
    x, _ = data
    student, teacher = net(), net()
    names = [model.layers[0].name for model in (teacher, student)]
    term = Term(Hint(), teacher=names[0], student=names[1], name="hint")
    distiller = Distiller(student=student, teacher=teacher, terms=[term, HardLabels()])
    distiller.compile("sgd", evaluate_terms=True)
    logs = distiller.evaluate(x, verbose=0, return_dict=True)
    t, s = (np.asarray(model.layers[0](x), "float64") for model in (teacher, student))
    assert logs["hint"] == pytest.approx(np.mean((t - s) ** 2), rel=1e-5)
    assert set(logs) == {"hint", "hard_labels"}


@pytest.mark.tensorflow
def test_terms_are_evaluated_on_replicas(net, data, soft_targets, two_replicas):
    x, y = data
    with two_replicas.scope():
        student, teacher = net(), net(width=32)
        distiller = Distiller(student=student, teacher=teacher)
        distiller.compile(
            "sgd", loss=CROSS_ENTROPY, evaluate_terms=True, alpha=0.1, temperature=4.0
        )
    logs = distiller.evaluate(x, y, batch_size=24, verbose=0, return_dict=True)
    expected = soft_targets(teacher(x), student(x), 4.0).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.tensorflow
def test_stored_answers_are_evaluated(net, data, soft_targets):
    x, y = data
    student, teacher = net(), net(width=32)
    soft = SoftLabels.write(None, teacher=teacher, data=x, dtype="float32", verbose=0)
    distiller = Distiller(student=student, teacher=soft)
    distiller.compile("sgd", evaluate_terms=True, alpha=0.1, temperature=4.0)
    validation = SoftLabels.write(None, teacher=teacher, data=x[:9], dtype="float32", verbose=0)
    logs = distiller.fit(
        soft.dataset(x, y), validation_data=validation.dataset(x[:9], y[:9]), verbose=0
    ).history
    expected = soft_targets(teacher(x[:9]), student(x[:9]), 4.0).mean()
    assert logs["val_soft_targets"][0] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(
        distiller.predict(soft.dataset(x, shuffle=False), verbose=0),
        student.predict(x, verbose=0),
    )
