"""Projectors of terms: they train, are saved, and are no part of the student."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term, projectors
from keras_kd.losses import AttentionTransfer, CosineHint, Hint, SoftTargets, Variational
from tests.distiller.terms.convnets import (
    CROSS_ENTROPY,
    convnet,
    hint,
    mean_square,
    of_teacher,
    signal,
)

# Keras says so where nothing but layers in the middle learns.
pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist")


def test_an_automatic_projector_is_a_linear_map_of_pooled_channels(images, frozen):
    x, _ = images
    student, teacher = convnet(4), convnet(6)
    term = Term(Hint(), teacher="pool", student="pool", projector="auto")
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[term]))(x)
    kernel, bias = term.projector.get_weights()
    projected = signal(student, x, "pool") @ kernel + bias
    assert logs["hint"] == pytest.approx(
        mean_square(of_teacher(teacher, x, "pool"), projected), rel=1e-5
    )


@pytest.mark.parametrize("of_student", [None, "l2"])
def test_regularizers_of_projectors_count(images, frozen, of_student):
    x, _ = images
    student, teacher = convnet(4, kernel_regularizer=of_student), convnet(6)
    kernel = student.get_layer("backbone").get_layer("conv").kernel
    penalty = 0.01 * np.square(kernel).sum() if of_student else 0.0

    def made():
        weights, activity = keras.regularizers.L2(0.3), keras.regularizers.L2(0.7)
        return layers.Conv2D(6, 1, kernel_regularizer=weights, activity_regularizer=activity)

    terms = [hint(projector=made(), name=name) for name in ("first", "second")]
    distiller = Distiller(student=student, teacher=teacher, terms=terms)
    for term in terms:
        alone = made()
        alone.build((None, 4, 4, 4))
        alone.set_weights(term.projector.get_weights())
        alone(student.get_layer("backbone")(x, training=True))
        penalty += float(sum(alone.losses))
    logs = frozen(distiller)(x)
    losses = 2 * (logs["first"] + logs["second"])
    assert logs["loss"] == pytest.approx(losses + penalty, rel=1e-5)
    assert penalty > 0.1 * losses


def test_the_projector_trains_is_clipped_and_is_no_part_of_the_student(images):
    x, _ = images
    student, teacher = convnet(4), convnet(6)
    distiller = Distiller(student=student, teacher=teacher, terms=[hint()])
    projector = distiller.terms[0].projector
    own = {id(variable) for variable in projector.trainable_variables}
    assert len(own) == 2
    assert own <= {id(variable) for variable in distiller.trainable_variables}
    assert not own & {id(variable) for variable in student.variables}
    before, count = distiller.get_weights(), student.count_params()
    trainable = [np.asarray(variable) for variable in distiller.trainable_variables]
    distiller.compile(keras.optimizers.SGD(1.0, global_clipnorm=1e-3))
    distiller.fit(x, batch_size=24, verbose=0)
    steps = [a - np.asarray(b) for a, b in zip(trainable, distiller.trainable_variables)]
    norm = np.sqrt(sum(np.square(step).sum() for step in steps))
    assert norm == pytest.approx(1e-3, rel=1e-2)
    assert np.abs(steps[-1]).max() > 0
    assert student.count_params() == count
    assert len(before) == len(distiller.get_weights())


@keras.saving.register_keras_serializable(package="tests")
class WithoutBuild(layers.Layer):
    """A projector that makes its weights when it is called."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(6)

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer")
@pytest.mark.parametrize(
    "terms",
    [
        lambda: [
            hint(),
            Term(AttentionTransfer(), teacher="backbone/conv", student="backbone/conv"),
        ],
        lambda: [Term(Variational(), None, "pool", "pool", projectors.Variational(hidden=5))],
        lambda: [Term(CosineHint(), None, "pool", "pool", projectors.ProjectorEnsemble())],
        lambda: [
            Term(
                Hint(),
                teacher="pool",
                student="backbone/relu",
                projector=keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(6)]),
            )
        ],
        lambda: [
            Term(
                Hint(),
                teacher="pool",
                student="pool",
                projector=keras.Sequential(
                    [layers.Dense(6), layers.BatchNormalization(), layers.Dropout(0.5)]
                ),
            )
        ],
        lambda: [Term(Hint(), None, "pool", "pool", WithoutBuild())],
    ],
    ids=["two", "variational", "ensemble", "layers", "random", "without-build"],
)
def test_loaded_training_goes_on(images, tmp_path, terms):
    x, y = images
    weights = []
    fit = {"batch_size": 12, "shuffle": False, "verbose": 0}
    for stops in (False, True):
        keras.utils.set_random_seed(1)
        teacher = convnet(6)
        distiller = Distiller(student=convnet(4), teacher=teacher, terms=terms())
        distiller.compile(keras.optimizers.Adam(0.01), loss=CROSS_ENTROPY)
        distiller.fit(x, y, epochs=1, **fit)
        if stops:
            distiller.save(tmp_path / "distiller.keras")
            distiller = keras.saving.load_model(tmp_path / "distiller.keras")
            distiller.teacher = teacher
        distiller.fit(x, y, epochs=2, initial_epoch=1, **fit)
        weights.append(distiller.get_weights())
    assert len(weights[0]) == len(weights[1])
    for a, b in zip(*weights):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_projector_runs_in_training_mode(images, frozen):
    x, _ = images
    norm = layers.BatchNormalization(momentum=0.5)
    projector = keras.Sequential([layers.Conv2D(6, 1), norm, layers.Dropout(0.5)])
    student, teacher = convnet(4), convnet(6)
    distiller = Distiller(
        student=student,
        teacher=teacher,
        terms=[Term(Hint(), None, "backbone/conv", "backbone/conv", projector)],
    )
    run = frozen(distiller)
    first = run(x)
    kernel = np.asarray(projector.layers[0].kernel, "float64")[0, 0]
    projected = signal(student, x, "backbone/conv") @ kernel
    axes = (0, 1, 2)
    np.testing.assert_allclose(norm.moving_mean, 0.5 * projected.mean(axes), atol=1e-6)
    np.testing.assert_allclose(
        norm.moving_variance, 0.5 + 0.5 * projected.var(axes), rtol=1e-5, atol=1e-6
    )
    assert run(x)["hint"] != first["hint"]  # other numbers are dropped


@pytest.mark.tensorflow
def test_no_export_holds_a_projector(images, tmp_path):
    from keras_kd import export

    distiller = Distiller(student=convnet(4), teacher=convnet(331), terms=[hint()])
    distiller.student.save(tmp_path / "student.keras")
    assert not [w for w in distiller.student.weights if 331 in w.shape]
    assert keras.saving.load_model(tmp_path / "student.keras").count_params() == (
        distiller.student.count_params()
    )
    report = export.tflite(distiller, tmp_path / "student.tflite", calibration=images[0])
    assert report.bytes < 331 * 4 * 4 + 4000


def test_the_summary_counts_projectors_apart(capsys):
    distiller = Distiller(student=convnet(4), teacher=convnet(6), terms=[SoftTargets(), hint()])
    distiller.summary()
    text = capsys.readouterr().out
    assert "Hint() from backbone/relu to backbone/relu" in text
    assert "linear, 30 parameters, trained and saved, not exported" in text.lower()
