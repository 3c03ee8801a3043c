"""Terms on signals from the inside of both networks: what trains, what counts, what is kept."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term, projectors
from keras_kd.losses import (
    AttentionTransfer,
    ChannelWise,
    CosineHint,
    Hint,
    SelfRelation,
    SimilarityPreserving,
    SoftTargets,
    Variational,
)
from keras_kd.teachers import batch

# Keras says so where nothing but layers in the middle learns.
pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist")

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def convnet(filters, units=3, **kwargs):
    """A classifier around a backbone, nested."""
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(filters, 3, strides=2, padding="same", name="conv", **kwargs),
            layers.BatchNormalization(momentum=0.5, name="norm"),
            layers.ReLU(name="relu"),
        ],
        name="backbone",
    )
    images = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D(name="pool")(inner(images))
    return keras.Model(images, layers.Dense(units, name="logits")(pooled))


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 8, 8, 3)).astype("float32"), rng.integers(0, 3, 24)


def hint(projector="auto", **kwargs):
    return Term(Hint(), 2.0, "backbone/relu", "backbone/relu", projector, **kwargs)


def signal(model, x, path):
    """Returns what a layer gives in training for a student of this file, whose norm it has."""
    backbone, name = model.get_layer("backbone"), path.split("/")[-1]
    for layer in [*backbone.layers, model.get_layer("pool")]:
        x = layer(x, training=model.trainable) if layer.name == "norm" else layer(x)
        if layer.name == name:
            return np.asarray(x, "float64")
    raise AssertionError(path)


def of_teacher(model, x, path):
    """Returns what a layer gives in inference."""
    model.trainable = False
    try:
        return signal(model, x, path)
    finally:
        model.trainable = True


def mean_square(a, b, weights=1.0):
    return (np.mean(np.square(a - b), axis=-1) * np.asarray(weights)).mean()


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


# Weights and masks


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


def encoder(width, heads=2):
    tokens = keras.Input((5,), dtype="int32")
    hidden = layers.Embedding(9, width, "random_normal", mask_zero=True, name="embedding")(tokens)
    hidden = layers.Rescaling(20.0, name="scaled")(hidden)
    attended = layers.MultiHeadAttention(heads, width // heads, name="att")(hidden, hidden)
    inner = keras.Model(tokens, layers.Dense(width, name="mixed")(attended), name="encoder")
    tokens = keras.Input((5,), dtype="int32")
    pooled = layers.GlobalAveragePooling1D()(inner(tokens))
    return keras.Model(tokens, layers.Dense(3)(pooled))


@pytest.fixture
def padded():
    rng = np.random.default_rng(0)
    x = rng.integers(1, 9, (8, 5))
    x[np.arange(5) >= rng.integers(1, 6, 8)[:, None]] = 0
    return x, rng.integers(0, 3, 8)


def inside(model, x, name):
    inner = model.get_layer("encoder")
    return np.asarray(keras.Model(inner.input, inner.get_layer(name).output)(x), "float64")


@pytest.mark.parametrize("path", ["scaled", "att", "mixed"])
def test_padding_counts_in_no_hint(padded, frozen, path):
    x, y = padded
    student, teacher = encoder(4), encoder(8)
    term = Term(Hint(), None, f"encoder/{path}", f"encoder/{path}", "auto")
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[term]), CROSS_ENTROPY)(x, y)
    kernel, bias = term.projector.get_weights()
    t, s = inside(teacher, x, path), inside(student, x, path) @ kernel + bias
    assert logs["hint"] == pytest.approx(mean_square(t[x != 0], s[x != 0]), rel=1e-4)


def test_weights_by_position(padded, frozen):
    x, _ = padded
    student, teacher = (
        keras.Sequential(
            [keras.Input((5, 4)), layers.Dense(4, name="dense"), layers.Dense(3, name="last")]
        )
        for _ in range(2)
    )
    term = Term(Hint(), None, "dense", "dense")
    x = np.random.default_rng(0).normal(size=(8, 5, 4)).astype("float32")
    weights = np.random.default_rng(1).uniform(size=(8, 5)).astype("float32")
    run = frozen(Distiller(student=student, teacher=teacher, terms=[term]), CROSS_ENTROPY)
    logs = run(x, np.zeros((8, 5), int), sample_weight=weights)
    t, s = (np.asarray(m.layers[0](x)) for m in (teacher, student))
    assert logs["hint"] == pytest.approx(mean_square(t, s, weights), rel=1e-5)


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_relations_of_tokens(padded, frozen, part):
    x, y = padded
    student, teacher = encoder(4), encoder(8, heads=4)
    path = f"encoder/att:{part}"
    term = Term(SelfRelation(relation_heads=2), teacher=path, student=path)
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[term]), CROSS_ENTROPY)(x, y)
    relations = []
    for model in (teacher, student):
        att = model.get_layer("encoder").get_layer("att")
        vectors = np.asarray(getattr(att, f"_{part}_dense")(inside(model, x, "scaled")), "float64")
        relations.append(vectors.reshape(8, 5, 2, -1).swapaxes(1, 2))
    expected = []
    for example, tokens in enumerate((x != 0).sum(1)):
        logs_of = []
        for vectors in relations:
            v = vectors[example, :, :tokens]
            r = v @ v.swapaxes(-1, -2) / np.sqrt(v.shape[-1])
            logs_of.append(r - np.log(np.exp(r).sum(-1, keepdims=True)))
        p, q = logs_of
        expected.append((np.exp(p) * (p - q)).sum(-1).mean())
    assert logs["self_relation"] == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_loss_that_does_not_know_masks_refuses_them(padded):
    class PerExample(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=(1, 2))

    x, _ = padded
    term = Term(PerExample(name="mine"), teacher="encoder/att", student="encoder/att")
    distiller = Distiller(student=encoder(4), teacher=encoder(4), terms=[term])
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="The student's mask must fit term 'mine'"):
        distiller.fit(x, verbose=0)


def test_a_projector_that_pools_sees_the_mask(padded, frozen):
    x, _ = padded
    student, teacher = encoder(4), encoder(4)
    term = Term(
        Hint(),
        teacher="global_average_pooling1d",
        student="encoder/att",
        projector=layers.GlobalAveragePooling1D(),
    )
    teacher.layers[-2].name = "global_average_pooling1d"
    logs = frozen(Distiller(student=student, teacher=teacher, terms=[term]))(x)
    there = (x != 0)[..., None]
    t, s = (
        (inside(m, x, n) * there).sum(1) / there.sum(1)
        for m, n in ((teacher, "mixed"), (student, "att"))
    )
    assert logs["hint"] == pytest.approx(mean_square(t, s), rel=1e-4)


def test_dense_prediction(frozen):
    def segmenter(filters):
        images = keras.Input((8, 6, 3))
        hidden = layers.Conv2D(filters, 3, strides=2, padding="same", name="conv")(images)
        return keras.Model(images, layers.UpSampling2D(2)(layers.Conv2D(4, 1, name="map")(hidden)))

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 8, 6, 3)).astype("float32"), rng.integers(0, 4, (2, 8, 6))
    terms = [
        ChannelWise(),
        Term(ChannelWise(temperature=1.0), 50.0, "conv", "conv", "auto", name="inside"),
    ]
    distiller = Distiller(student=segmenter(3), teacher=segmenter(5), terms=terms)
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    t, s = (
        np.asarray(m(x), "float64").reshape(2, 48, 4) / 4
        for m in (distiller.teacher, distiller.student)
    )
    log_p, log_q = (z - np.log(np.exp(z).sum(1, keepdims=True)) for z in (t, s))
    expected = 16 * (np.exp(log_p) * (log_p - log_q)).sum(1).mean()
    assert logs["channel_wise"] == pytest.approx(expected, rel=1e-4)
    total = logs["hard_loss"] + 3 * logs["channel_wise"] + 50 * logs["inside"]
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


# Exports and summaries


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
