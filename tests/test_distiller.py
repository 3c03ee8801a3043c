"""What a Distiller minimises, logs, trains, saves, and leaves alone."""

import zipfile
from collections import OrderedDict

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd import Distiller, Term
from keras_kd.losses import MultiLabelSoftTargets, SoftTargets

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def log_softmax(z):
    z = np.asarray(z, "float64")
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def cross_entropy(y, z):
    return -log_softmax(z)[np.arange(len(y)), y]


def soft_targets(t, s, temperature):
    log_p, log_q = (log_softmax(np.asarray(z, "float64") / temperature) for z in (t, s))
    return temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(-1)


def frozen(distiller, *args, **kwargs):
    """Trains one epoch of one batch with learning rate 0 and returns the logs."""
    distiller.compile(keras.optimizers.SGD(0.0), *args, **kwargs)
    return lambda x, y=None, **fit: {
        name: values[0]
        for name, values in distiller.fit(x, y, batch_size=len(x), verbose=0, **fit).history.items()
    }


# What is minimised


def test_plain_form_equals_hintons_blend(net, data):
    x, y = data
    student, teacher = net(), net(width=32)
    logs = frozen(Distiller(student=student, teacher=teacher), CROSS_ENTROPY)(x, y)
    hard = cross_entropy(y, student(x)).mean()
    soft = soft_targets(teacher(x), student(x), 4.0).mean()
    expected = {"loss": 0.1 * hard + 0.9 * soft, "hard_loss": hard, "soft_targets": soft}
    assert logs == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("student_end", [None, "softmax"])
@pytest.mark.parametrize("teacher_end", [None, "softmax"])
def test_softmax_heads_train_like_logits(net, data, student_end, teacher_end):
    x, y = data
    reference = Distiller(student=net(), teacher=net(width=32))
    reference.compile("sgd", loss=CROSS_ENTROPY)
    distiller = Distiller(student=net(activation=student_end), teacher=net(activation=teacher_end))
    distiller.teacher = net(activation=teacher_end, width=32)
    distiller.teacher.set_weights(reference.teacher.get_weights())
    distiller.student.set_weights(reference.student.get_weights())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=student_end is None)
    distiller.compile("sgd", loss=loss)
    for model in (reference, distiller):
        model.fit(x, y, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(distiller.student.weights, reference.student.weights):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_full_form_adds_weighted_terms(net, data):
    x, y = data
    student, teacher = net(), net(width=32)
    terms = [Term(SoftTargets(temperature=2.0), weight=3.0), keras.losses.MeanSquaredError()]
    distiller = Distiller(student=student, teacher=teacher, terms=terms)
    logs = frozen(distiller, CROSS_ENTROPY, hard_weight=0.5)(x, y)
    hard = cross_entropy(y, student(x)).mean()
    soft = soft_targets(teacher(x), student(x), 2.0).mean()
    mse = np.mean((np.asarray(teacher(x)) - np.asarray(student(x))) ** 2)
    expected = {
        "loss": 0.5 * hard + 3.0 * soft + mse,
        "hard_loss": hard,
        "soft_targets": soft,
        "mean_squared_error": mse,
    }
    assert logs == pytest.approx(expected, rel=1e-5)


def test_a_single_term_keeps_its_weight_and_hard_weight_is_1_by_default(net, data):
    x, y = data
    terms = [Term(SoftTargets(), weight=0.25)]
    logs = frozen(Distiller(student=net(), teacher=net(), terms=terms), CROSS_ENTROPY)(x, y)
    assert logs["loss"] == pytest.approx(logs["hard_loss"] + 0.25 * logs["soft_targets"], rel=1e-5)


def test_default_weights_are_the_papers(net):
    terms = [SoftTargets(), SoftTargets(2.0, standardize=True), keras.losses.MeanSquaredError()]
    distiller = Distiller(student=net(), teacher=net(), terms=terms)
    assert [float(term.weight) for term in distiller.terms] == [1.0, 9.0, 1.0]
    assert [term.name for term in distiller.terms] == [
        "soft_targets",
        "soft_targets_2",
        "mean_squared_error",
    ]


def test_sigmoid_heads_get_multi_label_soft_targets(net, data):
    x, _ = data
    y = np.random.default_rng(1).integers(0, 2, (24, 3))
    student, teacher = net(activation="sigmoid"), net(activation="sigmoid", width=32)
    logs = frozen(Distiller(student=student, teacher=teacher), "binary_crossentropy")(x, y)
    p, q = np.asarray(teacher(x), "float64"), np.asarray(student(x), "float64")
    on, off = p * np.log(p / q), (1 - p) * np.log((1 - p) / (1 - q))
    soft = (on + off).sum(-1).mean()
    assert logs["multi_label_soft_targets"] == pytest.approx(soft, rel=1e-4)
    hard = -np.where(y == 1, np.log(q), np.log(1 - q)).mean()
    assert logs["loss"] == pytest.approx(0.1 * hard + 0.9 * soft, rel=1e-4)


def test_sample_weights_weigh_the_hard_loss_and_the_term(net, data):
    x, y = data
    student, teacher = net(), net(width=32)
    weights = np.random.default_rng(2).uniform(size=24).astype("float32")
    logs = frozen(Distiller(student=student, teacher=teacher), CROSS_ENTROPY)(
        x, y, sample_weight=weights
    )
    hard = (weights * cross_entropy(y, student(x))).mean()
    soft = (weights * soft_targets(teacher(x), student(x), 4.0)).mean()
    assert logs["hard_loss"] == pytest.approx(hard, rel=1e-5)
    assert logs["soft_targets"] == pytest.approx(soft, rel=1e-5)


def test_class_weights_weigh_the_hard_loss_and_the_term(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    run = frozen(distiller, CROSS_ENTROPY)
    by_class = run(x, y, class_weight={0: 0.0, 1: 2.0, 2: 0.5})
    by_sample = run(x, y, sample_weight=np.float32([0.0, 2.0, 0.5])[y])
    assert by_class == pytest.approx(by_sample, rel=1e-6)


def test_weights_per_example_reach_every_position_of_a_sequence():
    tokens = keras.Input((5, 4))
    student, teacher = (keras.Model(tokens, keras.layers.Dense(3)(tokens)) for _ in range(2))
    x = np.random.default_rng(0).normal(size=(5, 5, 4)).astype("float32")  # batch = steps
    weights = np.arange(5, dtype="float32")
    y = np.zeros((5, 5), "int32")
    logs = frozen(Distiller(student=student, teacher=teacher))(x, y, sample_weight=weights)
    values = soft_targets(teacher(x), student(x), 4.0)
    assert logs["soft_targets"] == pytest.approx((weights[:, None] * values).mean(), rel=1e-5)


def test_regularizers_count_once(net, data):
    x, y = data
    student = net(kernel_regularizer=keras.regularizers.L2(0.1))
    logs = frozen(Distiller(student=student, teacher=net()), CROSS_ENTROPY)(x, y)
    penalty = 0.1 * np.sum(np.square(student.layers[-1].kernel))
    blend = 0.1 * logs["hard_loss"] + 0.9 * logs["soft_targets"]
    assert logs["loss"] == pytest.approx(blend + penalty, rel=1e-5)


def test_without_a_loss_the_teacher_alone_teaches_and_labels_may_be_missing(net, data):
    x, _ = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    logs = frozen(distiller)(x)
    assert set(logs) == {"loss", "soft_targets"}
    assert logs["loss"] == pytest.approx(0.9 * logs["soft_targets"], rel=1e-6)
    with pytest.raises(ValueError, match="evaluate must have something to compute"):
        distiller.evaluate(x, verbose=0)


def test_compiling_anew_forgets_the_last_loss_and_metrics(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    distiller.compile("sgd", loss=CROSS_ENTROPY, metrics=["accuracy"])
    distiller.fit(x, y, verbose=0)
    distiller.compile("sgd")
    logs = distiller.fit(x, y, batch_size=24, verbose=0).history
    assert set(logs) == {"loss", "soft_targets"}
    assert logs["loss"][0] == pytest.approx(0.9 * logs["soft_targets"][0], rel=1e-6)


def test_without_a_loss_the_metrics_are_still_evaluated(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    distiller.compile("sgd", metrics=["accuracy"])
    history = distiller.fit(x, y, validation_data=(x, y), verbose=0).history
    assert set(history) == {"loss", "soft_targets", "accuracy", "val_accuracy"}


def test_several_outputs_by_name(data):
    x, y = data
    inputs = keras.Input((4,))
    labels = {"sort": y, "tags": np.random.default_rng(1).integers(0, 2, (24, 2))}

    def model():
        hidden = keras.layers.Dense(8, activation="relu")(inputs)
        heads = {
            "sort": keras.layers.Dense(3, name="sort")(hidden),
            "tags": keras.layers.Dense(2, activation="sigmoid", name="tags")(hidden),
        }
        return keras.Model(inputs, heads)

    student, teacher = model(), model()
    distiller = Distiller(student=student, teacher=teacher)
    logs = frozen(
        distiller,
        {"sort": CROSS_ENTROPY, "tags": "binary_crossentropy"},
        loss_weights={"sort": 2.0, "tags": 1.0},
        metrics={"sort": ["accuracy"]},
        temperature=3.0,
    )(x, labels)
    t, s = teacher(x), student(x)
    assert logs["sort_soft_targets"] == pytest.approx(
        soft_targets(t["sort"], s["sort"], 3.0).mean(), rel=1e-5
    )
    hard = 2 * logs["sort_loss"] + logs["tags_loss"]
    assert logs["hard_loss"] == pytest.approx(hard, rel=1e-5)
    soft = logs["sort_soft_targets"] + logs["tags_multi_label_soft_targets"]
    assert logs["loss"] == pytest.approx(0.1 * hard + 0.9 * soft, rel=1e-5)
    assert "sort_accuracy" in logs


# What is live


def test_alpha_temperature_and_weights_act_without_a_new_trace(net, data):
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


def test_hard_weight_and_a_terms_temperature_are_live(net, data):
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


def test_another_teacher_teaches_from_the_next_fit_on(net, data):
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


# Whose evaluation it is


def test_evaluation_is_the_students(net, data):
    x, y = data
    student = net(kernel_regularizer="l2")

    class Silent(keras.Model):
        def call(self, x):
            raise AssertionError("the teacher was asked")

    distiller = Distiller(student=student, teacher=net())
    distiller.compile("adam", loss=CROSS_ENTROPY, metrics=["accuracy"])
    history = distiller.fit(x, y, validation_data=(x, y), verbose=0).history
    assert set(history) == {
        *("loss", "hard_loss", "soft_targets", "accuracy"),
        *("val_loss", "val_accuracy"),
    }
    silent = Silent()
    silent.built = True
    distiller._teacher.model = silent
    distiller._teacher._logits.model = silent
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


# What trains


def test_the_teacher_is_left_as_it_was(net, data):
    x, y = data
    teacher = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), net()]
    )
    teacher.compile("sgd", loss="mse")
    before = teacher.get_weights()
    distiller = Distiller(student=net(), teacher=teacher)
    distiller.compile("adam", loss=CROSS_ENTROPY)
    distiller.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(before, teacher.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert teacher.trainable
    assert teacher.loss == "mse"
    assert not {id(v) for v in distiller.variables} & {id(v) for v in teacher.variables}


def test_only_the_student_trains(net):
    inputs = keras.Input((4,))
    student = keras.Model(inputs, keras.layers.Dense(3, name="sort")(inputs))
    distiller = Distiller(student=student, teacher=net())
    assert [v.path for v in distiller.trainable_variables] == [
        v.path for v in student.trainable_variables
    ]
    assert distiller.output_names == ["sort"]


def test_the_student_runs_once_a_step(data):
    x, y = data
    calls = []

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    counted = Counted()
    inputs = keras.Input((4,))
    hidden = keras.layers.BatchNormalization(momentum=0.5)(counted(inputs))
    student = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
    teacher = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    distiller = Distiller(
        student=student, teacher=teacher, terms=[SoftTargets(), keras.losses.MeanSquaredError()]
    )
    distiller.compile("sgd", loss="sparse_categorical_crossentropy", run_eagerly=True)
    calls.clear()
    distiller.train_on_batch(x, y)
    assert len(calls) == 1
    np.testing.assert_allclose(student.layers[2].moving_mean, 0.5 * x.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    "how", [{"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 2}]
)
def test_every_way_to_run_gives_the_same_weights(net, data, how):
    x, y = data
    weights = []
    for kwargs in ({}, how):
        keras.utils.set_random_seed(0)
        distiller = Distiller(student=net(activation="softmax"), teacher=net(width=32))
        distiller.compile("sgd", loss="sparse_categorical_crossentropy", **kwargs)
        distiller.fit(x, y, batch_size=6, shuffle=False, epochs=2, verbose=0)
        weights.append(distiller.student.get_weights())
    for a, b in zip(*weights):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_mixed_float16_student_gets_loss_scaling(data):
    x, y = data
    policy = "mixed_float16"
    student = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu", dtype=policy),
            keras.layers.Dense(3, dtype=policy),
        ]
    )
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    distiller = Distiller(student=student, teacher=teacher)
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    expected = soft_targets(teacher(x), student(x), 4.0).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=2e-3)
    assert float(distiller.alpha) == pytest.approx(0.1, rel=1e-6)


def test_a_teacher_from_half_precision_to_float64_is_asked_as_it_is(data):
    x, y = data
    for dtype in ("float16", "bfloat16", "mixed_bfloat16", "float64"):
        teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=dtype)])
        student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        logs = frozen(Distiller(student=student, teacher=teacher), CROSS_ENTROPY)(x, y)
        teacher_logits = keras.ops.cast(teacher(x), "float32")
        expected = soft_targets(teacher_logits, student(x), 4.0).mean()
        assert logs["soft_targets"] == pytest.approx(expected, rel=2e-2), dtype


def test_two_replicas_equal_one(net, data):
    x, y = data
    devices = tf.config.list_logical_devices("CPU")
    batches = tf.data.Dataset.from_tensor_slices((x, y, np.linspace(0, 2, 24))).batch(10)
    results = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(devices)):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            student = net(activation="softmax", kernel_regularizer="l2")
            distiller = Distiller(student=student, teacher=net(width=32))
            distiller.compile("sgd", loss="sparse_categorical_crossentropy")
        history = distiller.fit(batches, epochs=2, shuffle=False, verbose=0).history
        results.append((history, student.get_weights()))
    (one, weights), (two, mirrored) = results
    for column, values in one.items():
        # Keras 3.8 itself logs the means of one replica.
        if not keras.__version__.startswith("3.8."):
            assert two[column] == pytest.approx(values, rel=1e-5), column
    for a, b in zip(weights, mirrored):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("floatx", ["float64", "bfloat16"])
def test_other_default_dtypes_train(net, data, floatx):
    x, y = data
    before = keras.config.floatx()
    keras.config.set_floatx(floatx)
    try:
        for terms in (None, [SoftTargets(), keras.losses.MeanSquaredError()]):
            student = net(kernel_regularizer="l2")
            distiller = Distiller(student=student, teacher=net(width=32), terms=terms)
            logs = frozen(distiller, CROSS_ENTROPY)(x, y)
            t, s = (keras.ops.cast(m(x), "float32") for m in (distiller.teacher, student))
            expected = float(soft_targets(t, s, 4.0).mean())
            assert float(logs["soft_targets"]) == pytest.approx(expected, rel=1e-2)
            assert np.isfinite(float(logs["loss"]))
    finally:
        keras.config.set_floatx(before)


def test_dicts_belong_together_by_key_whatever_their_order(data):
    x, _ = data
    inputs = keras.Input((4,))

    def model(kind, *names):
        return keras.Model(inputs, kind((n, keras.layers.Dense(3, name=n)(inputs)) for n in names))

    student, teacher = model(OrderedDict, "b", "a"), model(dict, "a", "b")
    logs = frozen(Distiller(student=student, teacher=teacher))(x)
    for name in "ab":
        expected = soft_targets(teacher(x)[name], student(x)[name], 4.0).mean()
        assert logs[f"{name}_soft_targets"] == pytest.approx(expected, rel=1e-5)


def test_masked_sequences_train_without_warnings(data):
    tokens = keras.Input((5,), dtype="int32")

    def model():
        hidden = keras.layers.Embedding(7, 4, mask_zero=True)(tokens)
        return keras.Model(tokens, keras.layers.Dense(3, activation="softmax")(hidden))

    x = np.random.default_rng(0).integers(0, 7, (6, 5))
    distiller = Distiller(student=model(), teacher=model())
    logs = frozen(distiller, "sparse_categorical_crossentropy")(x, np.zeros((6, 5), "int32"))
    assert np.isfinite(list(logs.values())).all()


def test_a_compilation_that_keras_refuses_leaves_the_last_one_standing(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    distiller.compile("sgd", loss=CROSS_ENTROPY, alpha=0.25)
    with pytest.raises(ValueError, match="nope"):
        distiller.compile("nope", loss=CROSS_ENTROPY, alpha=0.75)
    logs = distiller.fit(x, y, batch_size=24, verbose=0).history
    blend = 0.25 * logs["hard_loss"][0] + 0.75 * logs["soft_targets"][0]
    assert logs["loss"][0] == pytest.approx(blend, rel=1e-5)


def test_a_loss_of_the_users_own_keeps_its_arguments(net, data):
    class Mine(keras.losses.Loss):
        def __init__(self, temperature, margin=1.0):
            super().__init__(name="mine")
            self.temperature, self.margin = temperature, margin

        def call(self, y_true, y_pred):
            gap = keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)
            return self.margin * gap / self.temperature

    x, _ = data
    student, teacher = net(), net(width=32)
    distiller = Distiller(student=student, teacher=teacher, terms=[Mine(2.0, margin=5.0)])
    distiller.terms[0].temperature.assign(4.0)
    gap = np.mean((np.asarray(teacher(x)) - np.asarray(student(x))) ** 2)
    assert frozen(distiller)(x)["mine"] == pytest.approx(5.0 * gap / 4.0, rel=1e-5)


# What is saved


def test_saved_and_loaded_training_goes_on(net, data, tmp_path):
    x, y = data
    teacher = net(width=32)
    distiller = Distiller(student=net(activation="softmax"), teacher=teacher)
    distiller.compile("adam", loss="sparse_categorical_crossentropy", alpha=0.3, temperature=2.0)
    distiller.fit(x, y, epochs=2, shuffle=False, verbose=0)
    distiller.alpha.assign(0.5)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert loaded.teacher is None
    assert (float(loaded.alpha), float(loaded.temperature)) == (0.5, 2.0)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), distiller.predict(x, verbose=0))
    with pytest.raises(ValueError, match="The teacher must be set before training"):
        loaded.fit(x, y, verbose=0)
    loaded.teacher = teacher
    for model in (distiller, loaded):
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(distiller.student.get_weights(), loaded.student.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_terms_and_heads_are_saved(net, data, tmp_path):
    x, y = data
    terms = [Term(SoftTargets(3.0), weight=2.0, name="soft"), keras.losses.MeanSquaredError()]
    distiller = Distiller(
        student=net(), teacher=net(), terms=terms, student_head="logits", teacher_head="logits"
    )
    distiller.compile("adam", loss=CROSS_ENTROPY, hard_weight=0.5)
    distiller.fit(x, y, verbose=0)
    distiller.terms[0].temperature.assign(5.0)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert [term.name for term in loaded.terms] == ["soft", "mean_squared_error"]
    assert float(loaded.terms[0].weight) == 2.0
    assert float(loaded.terms[0].temperature) == 5.0
    assert float(loaded.hard_weight) == 0.5
    given, kept = distiller.get_config(), loaded.get_config()
    for key in ("terms", "name", "student_head", "teacher_head"):
        assert kept[key] == given[key]


def test_no_file_holds_the_teacher(net, data, tmp_path):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=512))
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    distiller.fit(x, y, verbose=0)
    distiller.save(tmp_path / "distiller.keras")
    distiller.save_weights(tmp_path / "distiller.weights.h5")
    tf.train.Checkpoint(distiller).write(str(tmp_path / "checkpoint"))
    with zipfile.ZipFile(tmp_path / "distiller.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    shapes = [shape for _, shape in tf.train.list_variables(str(tmp_path / "checkpoint"))]
    for name in ("distiller.weights.h5", "model.weights.h5"):
        with h5py.File(tmp_path / name) as file:
            file.visititems(lambda _, item: shapes.append(getattr(item, "shape", ())))
    assert [4, 8] in map(list, shapes)  # the student's
    assert not [shape for shape in shapes if 512 in shape]  # the teacher's


# Private matters


def test_no_private_name_of_keras_is_shadowed(net):
    distiller = Distiller(student=net(), teacher=net())
    for ours, theirs in (
        (distiller, keras.Model()),
        (distiller.terms[0], keras.layers.Layer()),
        (distiller._columns, keras.metrics.Metric()),
    ):
        private = {name for name in vars(type(ours)) if name[0] == "_" and name[1] != "_"}
        private |= {name for name in vars(ours) if name[0] == "_"} - set(vars(theirs))
        assert not private & set(dir(theirs))


def test_one_loss_object_serves_several_terms(net, data):
    x, y = data
    loss = MultiLabelSoftTargets(temperature=2.0)
    terms = [Term(loss, name="a"), Term(loss, weight=0.0, name="b")]
    distiller = Distiller(student=net(), teacher=net(width=32), terms=terms)
    distiller.terms[1].temperature.assign(9.0)
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    assert logs["a"] != logs["b"]
    assert logs["loss"] == pytest.approx(logs["hard_loss"] + logs["a"], rel=1e-5)
