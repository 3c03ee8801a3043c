"""Notebooks written for keras.io's example, and objects of keras.distillation."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller, Term
from keras_kd.losses import SoftTargets


@keras.saving.register_keras_serializable(package="tests")
def absolute_error(teacher, student):
    return keras.ops.mean(keras.ops.abs(teacher - student), axis=-1)


def test_keras_ios_example_runs_after_changing_the_import(net, data):
    x, y = data
    student, teacher = net(), net(width=32)
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(
        optimizer=keras.optimizers.Adam(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        student_loss_fn=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        distillation_loss_fn=keras.losses.KLDivergence(),
        alpha=0.1,
        temperature=10,
    )
    history = distiller.fit(x, y, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert (float(distiller.alpha), float(distiller.temperature)) == (np.float32(0.1), 10.0)
    loss, accuracy = distiller.evaluate(x, y, verbose=0)
    student.compile(loss=distiller.loss, metrics=["accuracy"])
    assert [loss, accuracy] == pytest.approx(student.evaluate(x, y, verbose=0), rel=1e-6)


@pytest.mark.parametrize("name", ["kl_divergence", "KLDivergence", "kld"])
def test_the_divergence_by_name(net, name):
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile(distillation_loss_fn=name, temperature=3.0)
    assert float(distiller.temperature) == 3.0


def test_other_distillation_losses_belong_into_terms(net):
    distiller = Distiller(student=net(), teacher=net())
    with pytest.raises(ValueError, match=r"must be keras.losses.KLDivergence.*terms=\[\.\.\.\]"):
        distiller.compile(distillation_loss_fn=keras.losses.MeanSquaredError())


def test_the_loss_is_given_once(net):
    distiller = Distiller(student=net(), teacher=net())
    with pytest.raises(ValueError, match="loss must be given once"):
        distiller.compile(loss="mse", student_loss_fn="mse")


@pytest.mark.skipif(not hasattr(keras, "distillation"), reason="this Keras has no distillation")
class TestKerasDistillation:
    def test_logits_distillation_becomes_soft_targets(self, net):
        peer = keras.distillation.LogitsDistillation(temperature=3.0)
        by_term = Distiller(student=net(), teacher=net(), terms=[peer])
        assert isinstance(by_term.terms[0].loss, SoftTargets)
        assert float(by_term.terms[0].temperature) == 3.0
        plain = Distiller(student=net(), teacher=net())
        plain.compile(distillation_loss_fn=peer)
        assert float(plain.temperature) == 3.0

    def test_what_has_no_equal_is_refused(self, net):
        peer = keras.distillation.LogitsDistillation(loss="categorical_crossentropy")
        with pytest.raises(ValueError, match="or LogitsDistillation with the KL divergence"):
            Distiller(student=net(), teacher=net(), terms=[peer])

    @pytest.mark.parametrize(
        "loss",
        ["mse", "cosine_similarity", keras.losses.Huber(), absolute_error],
        ids=["name", "cosine", "object", "function"],
    )
    def test_feature_distillation_gives_the_same_weights(self, net, data, loss, tmp_path):
        x, y = data
        teacher, student, other = net(), net(), net()
        other.set_weights(student.get_weights())
        peer = keras.distillation.FeatureDistillation(loss, "hidden", "hidden")
        distiller = Distiller(student=student, teacher=teacher, terms=[Term(peer, weight=0.25)])
        theirs = keras.distillation.Distiller(
            teacher=teacher,
            student=other,
            distillation_losses=[peer],
            distillation_loss_weights=[0.5],
            student_loss_weight=0.5,
        )
        fit = {"batch_size": 8, "shuffle": False, "verbose": 0}
        cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        distiller.compile(keras.optimizers.SGD(0.1), loss=cross_entropy, hard_weight=0.5)
        distiller.fit(x, y, **fit)
        theirs.compile(keras.optimizers.SGD(0.1), loss=cross_entropy)
        theirs.fit(x, y, **fit)
        for a, b in zip(student.get_weights(), other.get_weights()):
            np.testing.assert_allclose(a, b, atol=1e-6)
        distiller.save(tmp_path / "distiller.keras")
        (term,) = keras.saving.load_model(tmp_path / "distiller.keras").terms
        assert (term.teacher, term.student) == ("hidden", "hidden")
        assert term.get_config() == distiller.terms[0].get_config()

    def test_feature_distillation_without_layers_compares_the_outputs(self, net, data):
        x, y = data
        teacher, student = net(), net()
        peer = keras.distillation.FeatureDistillation()
        distiller = Distiller(student=student, teacher=teacher, terms=[peer])
        error = np.square(student.predict(x, verbose=0) - teacher.predict(x, verbose=0))
        distiller.compile(keras.optimizers.SGD(0.0))
        logs = distiller.fit(x, y, batch_size=24, verbose=0).history
        assert logs["mean_squared_error"] == pytest.approx([error.mean()], rel=1e-5)
        with pytest.raises(ValueError, match="must name the teacher's layer where its output"):
            Distiller(student=student, teacher=net(activation="softmax"), terms=[peer])

    def test_feature_distillation_by_a_lambda(self, net, data):
        x, _ = data
        teacher, student = net(), net()
        peer = keras.distillation.FeatureDistillation(
            lambda a, b: keras.ops.mean(keras.ops.square(a - b), axis=-1)
        )
        distiller = Distiller(student=student, teacher=teacher, terms=[peer])
        error = np.square(student.predict(x, verbose=0) - teacher.predict(x, verbose=0))
        distiller.compile(keras.optimizers.SGD(0.0))
        logs = distiller.fit(x, batch_size=24, verbose=0).history
        assert logs["function_loss"] == pytest.approx([error.mean()], rel=1e-5)

    def test_feature_distillation_of_probabilities_or_of_several_outputs(self, net):
        peer = keras.distillation.FeatureDistillation("kl_divergence")
        with pytest.raises(ValueError, match="must compare logits with logits"):
            Term(peer)
        peer = keras.distillation.FeatureDistillation(["mse", None])
        with pytest.raises(ValueError, match="FeatureDistillation must have one loss"):
            Term(peer)
        peer = keras.distillation.FeatureDistillation("mse", "hidden", "hidden")
        with pytest.raises(ValueError, match="layers of a Term must be named once"):
            Term(peer, student="hidden")
