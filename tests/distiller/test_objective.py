"""What a Distiller minimises and logs."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller, Term
from keras_kd.losses import SoftTargets
from keras_kd.teachers import batch

pytestmark = pytest.mark.numbers

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_plain_form_equals_hintons_blend(net, data, frozen, soft_targets, cross_entropy):
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


def test_full_form_adds_weighted_terms(net, data, frozen, soft_targets, cross_entropy):
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


def test_a_single_term_keeps_its_weight_and_hard_weight_is_1_by_default(net, data, frozen):
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


def test_sigmoid_heads_get_multi_label_soft_targets(net, data, frozen):
    x, _ = data
    y = np.random.default_rng(1).integers(0, 2, (24, 3))
    student, teacher = net(activation="sigmoid"), net(activation="sigmoid", width=32)
    distiller = Distiller(student=student, teacher=teacher)
    logs = frozen(distiller, "binary_crossentropy", temperature=1.0)(x, y)
    p, q = np.asarray(teacher(x), "float64"), np.asarray(student(x), "float64")
    on, off = p * np.log(p / q), (1 - p) * np.log((1 - p) / (1 - q))
    soft = (on + off).sum(-1).mean()
    assert logs["multi_label_soft_targets"] == pytest.approx(soft, rel=1e-4)
    hard = -np.where(y == 1, np.log(q), np.log(1 - q)).mean()
    assert logs["loss"] == pytest.approx(0.1 * hard + 0.9 * soft, rel=1e-4)


def test_sample_weights_weigh_the_hard_loss_and_the_term(
    net, data, frozen, soft_targets, cross_entropy
):
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


def test_class_weights_weigh_the_hard_loss_and_the_term(net, data, frozen):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    run = frozen(distiller, CROSS_ENTROPY)
    by_class = run(x, y, class_weight={0: 0.0, 1: 2.0, 2: 0.5})
    by_sample = run(x, y, sample_weight=np.float32([0.0, 2.0, 0.5])[y])
    assert by_class == pytest.approx(by_sample, rel=1e-6)


def test_weights_per_example_reach_every_position_of_a_sequence(frozen, soft_targets):
    tokens = keras.Input((5, 4))
    student, teacher = (keras.Model(tokens, keras.layers.Dense(3)(tokens)) for _ in range(2))
    x = np.random.default_rng(0).normal(size=(5, 5, 4)).astype("float32")  # batch = steps
    weights = np.arange(5, dtype="float32")
    y = np.zeros((5, 5), "int32")
    logs = frozen(Distiller(student=student, teacher=teacher))(x, y, sample_weight=weights)
    values = soft_targets(teacher(x), student(x), 4.0)
    assert logs["soft_targets"] == pytest.approx((weights[:, None] * values).mean(), rel=1e-5)


def test_regularizers_count_once(net, data, frozen):
    x, y = data
    student = net(kernel_regularizer=keras.regularizers.L2(0.1))
    logs = frozen(Distiller(student=student, teacher=net()), CROSS_ENTROPY)(x, y)
    penalty = 0.1 * np.sum(np.square(student.layers[-1].kernel))
    blend = 0.1 * logs["hard_loss"] + 0.9 * logs["soft_targets"]
    assert logs["loss"] == pytest.approx(blend + penalty, rel=1e-5)


def test_without_a_loss_the_teacher_alone_teaches_and_labels_may_be_missing(net, data, frozen):
    x, _ = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    logs = frozen(distiller)(x)
    assert set(logs) == {"loss", "soft_targets"}
    assert logs["loss"] == pytest.approx(0.9 * logs["soft_targets"], rel=1e-6)
    with pytest.raises(ValueError, match="evaluate must have a loss or metrics"):
        distiller.evaluate(x, verbose=0)


def test_compiling_anew_forgets_the_last_loss_and_metrics(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    distiller.compile("sgd", loss=CROSS_ENTROPY, metrics=["accuracy"], alpha=0.1, temperature=4.0)
    distiller.fit(x, y, verbose=0)
    distiller.compile("sgd", alpha=0.1, temperature=4.0)
    logs = distiller.fit(x, y, batch_size=24, verbose=0).history
    assert set(logs) == {"loss", "soft_targets"}
    assert logs["loss"][0] == pytest.approx(0.9 * logs["soft_targets"][0], rel=1e-6)


def test_without_a_loss_the_metrics_are_still_evaluated(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net(width=32))
    distiller.compile("sgd", metrics=["accuracy"], alpha=0.1, temperature=4.0)
    history = distiller.fit(x, y, validation_data=(x, y), verbose=0).history
    assert set(history) == {"loss", "soft_targets", "accuracy", "val_accuracy"}


def test_several_outputs_by_name(data, frozen, soft_targets):
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


def test_a_loss_without_the_teacher_is_refused_in_training(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", loss=CROSS_ENTROPY, alpha=0.1, temperature=4.0)
    for training in (True, False):
        y_pred = distiller(x, training=training)
        with pytest.raises(
            ValueError, match=r"compute_loss must be called by train_step.*\(x, y\)"
        ):
            distiller.compute_loss(x=x, y=y, y_pred=y_pred)
    hard = distiller.compute_loss(x=x, y=y, y_pred=distiller(x), training=False)
    assert float(hard) == pytest.approx(float(CROSS_ENTROPY(y, distiller.student(x))), rel=1e-6)
    asked = batch.with_answers(x, {"output": distiller.teacher(x)})
    loss = distiller.compute_loss(x=asked, y=y, y_pred=distiller(asked, training=True))
    logs = distiller.train_on_batch(x, y, return_dict=True)
    assert float(loss) == pytest.approx(logs["loss"], rel=1e-6)
