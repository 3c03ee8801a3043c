"""Terms on signals from the inside of both networks: what counts, and what may be changed."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term
from keras_kd.losses import ChannelWise, Hint, SimilarityPreserving, SoftTargets
from keras_kd.teachers import batch
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


def test_the_sum_of_all(images, frozen):
    x, y = images
    student, teacher = convnet(4), convnet(4)
    terms = [
        SoftTargets(temperature=2.0),
        Term(Hint(), 3.0, "backbone/conv", "backbone/conv"),
        Term(SimilarityPreserving(), teacher="pool", student="backbone/conv"),
    ]
    logs = frozen(Distiller(student=student, teacher=teacher, terms=terms), CROSS_ENTROPY)(x, y)
    t, s = of_teacher(teacher, x, "backbone/conv"), signal(student, x, "backbone/conv")
    assert logs["hint"] == pytest.approx(mean_square(t, s), rel=1e-5)
    rows = [of_teacher(teacher, x, "pool"), s.reshape(24, -1)]
    t, s = (g / np.linalg.norm(g, axis=1, keepdims=True) for g in (r @ r.T for r in rows))
    assert logs["similarity_preserving"] == pytest.approx(np.square(t - s).mean(), rel=1e-4)
    total = logs["hard_loss"] + logs["soft_targets"] + 3 * logs["hint"]
    total += 3000 * logs["similarity_preserving"]
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_the_student_runs_once_a_step(images):
    x, y = images
    calls = []

    class Counted(layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            Counted(name="counted"),
            layers.BatchNormalization(momentum=0.5, name="norm"),
            layers.Dropout(0.5, name="drop"),
        ],
        name="backbone",
    )
    inputs = keras.Input((8, 8, 3))
    hidden = layers.Flatten(name="flat")(backbone(inputs))
    student = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
    terms = [
        Term(SimilarityPreserving(), teacher="pool", student=path, name=path[-4:])
        for path in ("backbone/drop", "flat", "backbone/norm")
    ]
    terms.append(SoftTargets())
    distiller = Distiller(student=student, teacher=convnet(4), terms=terms)
    distiller.compile("sgd", loss="sparse_categorical_crossentropy", run_eagerly=True)
    distiller.train_on_batch(x, y)
    calls.clear()
    logs = distiller.train_on_batch(x, y, return_dict=True)
    assert len(calls) == 1
    mean = 0.75 * x.mean((0, 1, 2))
    np.testing.assert_allclose(backbone.get_layer("norm").moving_mean, mean, atol=1e-6)
    assert logs["drop"] == logs["flat"] != logs["norm"]  # one dropout mask for all


def test_activity_regularizers_count_once(images, frozen):
    x, _ = images
    student, teacher = convnet(4, activity_regularizer="l2"), convnet(6)
    distiller = Distiller(student=student, teacher=teacher, terms=[hint()])
    logs = frozen(distiller)(x)
    conv = student.get_layer("backbone").get_layer("conv")
    alone = layers.Conv2D.from_config(conv.get_config())
    alone.build(x.shape)
    alone.set_weights(conv.get_weights())
    alone(x)  # Keras 3.8 adds examples up, newer ones average them
    penalty = float(sum(alone.losses))
    assert logs["loss"] == pytest.approx(2 * logs["hint"] + penalty, rel=1e-5)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("strides", [(1, 2), (2, 1)])
@pytest.mark.parametrize("loss", [Hint(), ChannelWise()], ids=lambda loss: loss.name)
def test_maps_whose_sizes_only_the_batch_shows(loss, strides, jit):
    def built(size):
        models = []
        for filters, stride in zip((4, 6), strides):
            images = keras.Input((size, size, 3))
            conv = layers.Conv2D(filters, 3, stride, padding="same", name="conv")(images)
            pooled = layers.GlobalAveragePooling2D()(conv)
            models.append(keras.Model(images, layers.Dense(3)(pooled)))
        terms = [Term(loss, 1.0, "conv", "conv", "auto", name="mine")]
        distiller = Distiller(student=models[0], teacher=models[1], terms=terms)
        distiller.compile("sgd", jit_compile=jit)
        return distiller

    known, unknown = built(8), built(None)
    unknown.set_weights(known.get_weights())
    unknown._objective.teacher.model.set_weights(known._objective.teacher.model.get_weights())
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    logs = [each.train_on_batch(x, return_dict=True) for each in (known, unknown)]
    assert float(logs[1]["mine"]) == pytest.approx(float(logs[0]["mine"]), rel=1e-4)


@pytest.mark.parametrize(
    "how", [{"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 2}]
)
def test_every_way_to_run_gives_the_same_weights(images, how):
    x, y = images
    weights = []
    for kwargs in ({}, how):
        keras.utils.set_random_seed(0)
        distiller = Distiller(student=convnet(4), teacher=convnet(6), terms=[SoftTargets(), hint()])
        distiller.compile("sgd", loss=CROSS_ENTROPY, **kwargs)
        distiller.fit(x, y, batch_size=12, shuffle=False, epochs=2, verbose=0)
        weights.append(distiller.get_weights())
    for a, b in zip(*weights):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_mixed_float16_student(images, frozen):
    x, y = images
    student, teacher = convnet(4, dtype="mixed_float16"), convnet(6)
    distiller = Distiller(student=student, teacher=teacher, terms=[hint()])
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    t, s = of_teacher(teacher, x, "backbone/relu"), signal(student, x, "backbone/relu")
    kernel, bias = distiller.terms[0].projector.get_weights()
    assert kernel.dtype == "float32"
    assert logs["hint"] == pytest.approx(mean_square(t, s @ kernel + bias), rel=2e-2)


@pytest.mark.tensorflow
def test_two_replicas_equal_one(images, two_replicas):
    import tensorflow as tf

    x, y = images
    data = tf.data.Dataset.from_tensor_slices((x, y, np.linspace(0, 2, 24))).batch(8)
    results = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            student, teacher = convnet(4), convnet(6)
            student.get_layer("backbone").get_layer("norm").trainable = False
            distiller = Distiller(student=student, teacher=teacher, terms=[hint()])
            distiller.compile("sgd", loss=CROSS_ENTROPY)
        distiller.fit(data, epochs=2, shuffle=False, verbose=0)
        results.append(distiller.trainable_variables)
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_teacher_of_other_classes_or_without_any(images, frozen):
    x, y = images
    for teacher in (convnet(6, units=100), convnet(6, units=100).get_layer("backbone")):
        path = "relu" if teacher.name == "backbone" else "backbone/relu"
        term = Term(Hint(), teacher=path, student="backbone/relu", projector="auto")
        logs = frozen(Distiller(student=convnet(4), teacher=teacher, terms=[term]), CROSS_ENTROPY)(
            x, y
        )
        assert np.isfinite(list(logs.values())).all()


def test_a_layer_may_learn_the_teachers_output(images, frozen, soft_targets):
    x, _ = images
    student, teacher = convnet(4), convnet(6)
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3)])
    term = Term(SoftTargets(temperature=2.0), student="backbone/conv", projector=head)
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[term]))(x)
    s = signal(student, x, "backbone/conv").mean((1, 2)) @ head.layers[1].kernel
    expected = soft_targets(teacher(x), s, 2.0).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=1e-4)


def test_terms_without_names_are_numbered():
    terms = [hint(), hint(), hint(name="hint_3"), hint()]
    distiller = Distiller(student=convnet(4), teacher=convnet(6), terms=terms)
    assert [term.name for term in distiller.terms] == ["hint", "hint_2", "hint_3", "hint_4"]


def test_answers_may_come_with_the_batch(images):
    x, y = images
    distiller = Distiller(student=convnet(4), teacher=convnet(6), terms=[hint(), SoftTargets()])
    distiller.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY)
    asked = distiller.train_on_batch(x, y, return_dict=True)
    answers = {
        "output": np.asarray(distiller.teacher(x)),
        "layer:backbone/relu": of_teacher(distiller.teacher, x, "backbone/relu").astype("float32"),
    }
    given = batch.with_answers(x, answers)
    assert list(given) == ["keras_kd.input", "keras_kd.answers"]
    distiller.reset_metrics()
    stored = distiller.train_on_batch(given, y, return_dict=True)
    assert list(stored) == list(asked)
    np.testing.assert_allclose(list(stored.values()), list(asked.values()), rtol=1e-5)


def test_the_weight_is_live(images, frozen):
    x, _ = images
    distiller = Distiller(student=convnet(4), teacher=convnet(6), terms=[hint()])
    run = frozen(distiller)
    run(x)
    distiller.terms[0].weight.assign(7.0)
    logs = run(x)
    assert logs["loss"] == pytest.approx(7 * logs["hint"], rel=1e-5)


def test_another_teacher_must_have_the_signals_too(images):
    x, y = images
    distiller = Distiller(student=convnet(4), teacher=convnet(6), terms=[hint()])
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    distiller.fit(x, y, verbose=0)
    projector = distiller.terms[0].projector
    distiller.teacher = convnet(6)
    distiller.fit(x, y, verbose=0)
    assert distiller.terms[0].projector is projector
    with pytest.raises(ValueError, match="must fit the loss of term 'hint'"):
        distiller.teacher = convnet(5)
    with pytest.raises(ValueError, match="teacher of a Term must be the path"):
        distiller.teacher = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten()])


def test_weights_by_example_and_by_output(images, frozen):
    x, y = images
    inputs = keras.Input((8, 8, 3))

    def model(filters):
        hidden = layers.Conv2D(filters, 3, name="conv")(inputs)
        pooled = layers.GlobalAveragePooling2D()(hidden)
        return keras.Model(inputs, {name: layers.Dense(3, name=name)(pooled) for name in "ab"})

    student, teacher = model(4), model(4)
    terms = [
        Term(Hint(), teacher="conv", student="conv"),
        Term(Hint(), teacher="conv", student="conv", output="b", name="of_b"),
    ]
    run = frozen(
        Distiller(student=student, teacher=teacher, terms=terms), dict.fromkeys("ab", CROSS_ENTROPY)
    )
    labels = dict.fromkeys("ab", y)
    a, b = np.float32(np.linspace(0, 2, 24)), np.float32(np.linspace(1, 0, 24))
    t, s = (np.asarray(m.get_layer("conv")(x), "float64") for m in (teacher, student))
    for given, joint, of_b in ((a, a, a), ({"a": a, "b": b}, a * b, b)):
        logs = run(x, labels, sample_weight=given)
        for name, weights in (("hint", joint), ("of_b", of_b)):
            expected = mean_square(t, s, weights[:, None, None])
            assert logs[name] == pytest.approx(expected, rel=1e-5), name
