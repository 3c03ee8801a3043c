"""Notebooks written for keras.io's example, and objects of keras.distillation."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller
from keras_kd.losses import SoftTargets


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
    with pytest.raises(ValueError, match=r"must be the KL divergence.*terms=\[\.\.\.\]"):
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
        for peer in (
            keras.distillation.LogitsDistillation(loss="categorical_crossentropy"),
            keras.distillation.FeatureDistillation(),
        ):
            with pytest.raises(ValueError, match="must be LogitsDistillation with the KL diverg"):
                Distiller(student=net(), teacher=net(), terms=[peer])
