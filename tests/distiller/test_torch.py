"""Training on PyTorch: what a guest is promised, against the same numbers on NumPy."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from keras_kd import Distiller, Term
from keras_kd.losses import Hint, SoftTargets

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="needs Keras on PyTorch")
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def losses_by_hand(teacher, student, y, temperature):
    """Returns cross-entropy and soft targets by example, in float64."""
    hard = -log_softmax(student)[np.arange(len(y)), y]
    p, q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    return hard, temperature**2 * (np.exp(p) * (p - q)).sum(-1)


def answers(model, x):
    return np.float64(model.predict(x, verbose=0))


def test_the_plain_form_and_weights(net, data):
    x, y = data
    weight = np.linspace(0, 2, len(x)).astype("float32")
    student, teacher = net(), net(width=16)
    hard, soft = losses_by_hand(answers(teacher, x), answers(student, x), y, 3.0)
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile("sgd", loss=CROSS_ENTROPY, alpha=0.25, temperature=3.0)
    logs = distiller.fit(x, y, sample_weight=weight, batch_size=24, verbose=0).history
    assert logs["hard_loss"] == pytest.approx([np.mean(weight * hard)], rel=1e-5)
    assert logs["soft_targets"] == pytest.approx([np.mean(weight * soft)], rel=1e-5)
    both = np.mean(weight * (0.25 * hard + 0.75 * soft))
    assert logs["loss"] == pytest.approx([both], rel=1e-5)


def test_the_backward_pass_leaves_the_teacher_out(net, data):
    teacher, student = net(), net()
    before = teacher.get_weights()
    distiller = Distiller(
        student=student,
        teacher=teacher,
        terms=[SoftTargets(), Term(Hint(), None, "hidden", "hidden", "auto")],
    )
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    distiller.fit(*data, epochs=2, verbose=0)
    assert [w.value.grad for w in teacher.variables] == [None] * 4
    assert all(w.value.requires_grad for w in teacher.trainable_variables)
    for a, b in zip(before, teacher.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_a_step_is_that_of_the_gradient(data):
    """One layer, plain SGD: the step in closed form."""
    x, y = data
    teacher, student = (keras.Sequential([keras.Input((4,)), layers.Dense(3)]) for _ in range(2))
    kernel, _ = (np.float64(w) for w in student.get_weights())
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY, alpha=0.5, temperature=2.0)
    z, q = answers(student, x), answers(teacher, x)
    hard = np.exp(log_softmax(z)) - np.eye(3)[y]
    soft = 2.0 * (np.exp(log_softmax(z / 2)) - np.exp(log_softmax(q / 2)))
    distiller.fit(x, y, batch_size=24, verbose=0)
    expected = kernel - 0.1 * x.T @ (0.5 * hard + 0.5 * soft) / len(x)
    np.testing.assert_allclose(student.get_weights()[0], expected, atol=1e-6)


def test_missing_labels_do_not_change_the_weights_of_the_terms(net, data):
    """Keras multiplies weights by a mask in place."""
    x, y = data
    weight = np.linspace(0, 2, len(x)).astype("float32")
    known = np.arange(len(x)) % 2 == 0
    student, teacher = net(), net()
    hard, soft = losses_by_hand(answers(teacher, x), answers(student, x), y, 4.0)
    distiller = Distiller(student=student, teacher=teacher)
    compiled = {"loss": CROSS_ENTROPY, "weighted_metrics": ["accuracy", "accuracy"]}
    distiller.compile("sgd", temperature=4.0, **compiled)
    partly = np.where(known, y, -1)
    logs = distiller.fit(x, partly, sample_weight=weight, batch_size=24, verbose=0).history
    assert logs["soft_targets"] == pytest.approx([np.mean(weight * soft)], rel=1e-5)
    assert logs["hard_loss"] == pytest.approx([(weight * hard)[known].sum() / known.sum()])
    result = distiller.evaluate(x, partly, sample_weight=weight, return_dict=True, verbose=0)
    hard, _ = losses_by_hand(answers(teacher, x), answers(student, x), y, 4.0)
    assert result["loss"] == pytest.approx((weight * hard)[known].sum() / known.sum(), rel=1e-5)


def test_padding_and_weights_by_example():
    tokens = keras.Input((5,), dtype="int32")
    normal = keras.initializers.RandomNormal(stddev=1.0)
    embedded = layers.Embedding(9, 4, normal, mask_zero=True)(tokens)
    student = keras.Model(tokens, layers.Dense(3)(embedded))
    teacher = keras.Model(tokens, layers.Dense(3)(layers.Embedding(9, 4, normal)(tokens)))
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (8, 5))
    y, weight = rng.integers(0, 3, (8, 5)), rng.random(8).astype("float32")
    hard, soft = losses_by_hand(
        answers(teacher, x).reshape(40, 3), answers(student, x).reshape(40, 3), y.ravel(), 4.0
    )
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile("sgd", loss=CROSS_ENTROPY, temperature=4.0)
    logs = distiller.fit(x, y, sample_weight=weight, batch_size=8, verbose=0).history
    kept = (x != 0).ravel()
    for column, values in {"hard_loss": hard, "soft_targets": soft}.items():
        expected = (np.repeat(weight, 5) * values)[kept].sum() / kept.sum()
        assert logs[column] == pytest.approx([expected], rel=1e-5)


def test_live_variables(net, data):
    x, y = data
    student, teacher = net(), net(width=16)
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY, temperature=4.0)
    distiller.train_on_batch(x, y)
    distiller.temperature.assign(2.0)
    distiller.alpha.assign(0.75)
    hard, soft = losses_by_hand(answers(teacher, x), answers(student, x), y, 2.0)
    logs = distiller.train_on_batch(x, y, return_dict=True)
    expected = 0.75 * hard.mean() + 0.25 * soft.mean()
    distiller.reset_metrics()
    logs = distiller.train_on_batch(x, y, return_dict=True)
    assert float(logs["loss"]) == pytest.approx(expected, rel=1e-5)


def test_save_and_load_go_on(net, data, tmp_path):
    x, y = data
    teacher = net(width=16)
    terms = [SoftTargets(), Term(Hint(), None, "hidden", "hidden", projector="auto")]
    distiller = Distiller(student=net(), teacher=teacher, terms=terms)
    distiller.compile("adam", loss=CROSS_ENTROPY, metrics=["accuracy"])
    distiller.fit(x, y, shuffle=False, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    resumed = keras.saving.load_model(tmp_path / "distiller.keras")
    resumed.teacher = teacher
    for each in (distiller, resumed):
        each.fit(x, y, shuffle=False, verbose=0)
    for a, b in zip(distiller.get_weights(), resumed.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_array_equal(resumed.predict(x, verbose=0), answers(resumed.student, x))


def test_a_teachers_nan_is_reported(net, data):
    x, y = data
    teacher = net()
    teacher.layers[-1].bias.assign([np.nan, 0.0, 0.0])
    distiller = Distiller(student=net(), teacher=teacher)
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(ValueError, match="The teacher must give finite answers"):
        distiller.fit(x, y, verbose=0)


def test_exports_name_the_way_out(net, tmp_path):
    pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match=r"on TensorFlow or JAX to export.*student.save"):
        keras_kd.export.tflite(net(), tmp_path / "student.tflite")


def test_soft_labels_without_tensorflow_name_the_way_out():
    code = """
import sys
sys.modules["tensorflow"] = None
import keras, keras_kd, numpy as np
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
keras_kd.SoftLabels.write(None, teacher=model, data=np.zeros((8, 4)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: SoftLabels.write must have TensorFlow" in done.stderr
    assert "Type: pip install tensorflow" in done.stderr
