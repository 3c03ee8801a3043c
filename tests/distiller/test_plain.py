"""The plain form follows what is certain of an output, and asks where nothing is."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, losses

from keras_kd import Distiller

SPARSE = losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY = losses.BinaryCrossentropy(from_logits=True)


def own(y, z):
    return keras.ops.mean(z, axis=-1)


def compiled(student, teacher, loss=None, **kwargs):
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(
        keras.optimizers.SGD(0.0), loss=loss, **({"alpha": 0.1, "temperature": 4.0} | kwargs)
    )
    return distiller


def names(distiller):
    return [term.name for term in distiller.terms]


def model(**heads):
    """Returns a model with a dict of outputs: `(units, activation)` by name."""
    inputs = keras.Input((4,))
    outputs = {name: layers.Dense(*head, name=name)(inputs) for name, head in heads.items()}
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    ("student", "teacher", "loss", "chosen"),
    [
        (None, None, None, "soft_targets"),
        (None, None, SPARSE, "soft_targets"),
        (None, None, own, "soft_targets"),
        (None, None, losses.CategoricalHinge(), "soft_targets"),
        (None, None, BINARY, "multi_label_soft_targets"),
        (None, "sigmoid", None, "multi_label_soft_targets"),
        (None, "sigmoid", own, "multi_label_soft_targets"),
        (None, "sigmoid", BINARY, "multi_label_soft_targets"),
        (None, "sigmoid", "hinge", "multi_label_soft_targets"),
        (None, "softmax", own, "soft_targets"),
        ("softmax", None, "mse", "soft_targets"),
        ("softmax", None, "binary_crossentropy", "soft_targets"),
        ("sigmoid", None, None, "multi_label_soft_targets"),
        ("sigmoid", None, losses.Dice(), "multi_label_soft_targets"),
        ("sigmoid", "sigmoid", "mse", "multi_label_soft_targets"),
    ],
)
def test_the_term_follows_what_is_certain(net, student, teacher, loss, chosen):
    distiller = compiled(net(activation=student), net(activation=teacher), loss)
    assert names(distiller) == [chosen]
    distiller.compile("sgd", loss=loss, temperature=3.0)
    assert float(distiller.terms[0].temperature) == 3.0


REGRESSION = [
    "mse",
    "MSE",
    "mean_absolute_error",
    "MeanAbsolutePercentageError",
    "msle",
    losses.Huber(),
    losses.Huber,
    losses.huber,
    functools.partial(losses.huber, delta=2.0),
    losses.LogCosh(),
    losses.Poisson(),
    losses.CosineSimilarity(),
    type("Own", (losses.MeanSquaredError,), {})(),
]


@pytest.mark.parametrize("loss", REGRESSION)
@pytest.mark.parametrize("teacher", [None, "sigmoid"])
def test_numbers_have_no_soft_targets(net, loss, teacher):
    with pytest.raises(ValueError, match=r"classes to soften at.*'output'.*terms=\[keras.losses.M"):
        compiled(net(), net(activation=teacher), loss)


@pytest.mark.parametrize(
    ("student", "teacher", "loss"),
    [
        (None, "sigmoid", SPARSE),
        (None, "softmax", BINARY),
        (None, None, "hinge"),
        (None, None, "squared_hinge"),
        (None, None, losses.Tversky()),
        ("sigmoid", None, "mse"),
        ("sigmoid", None, "categorical_crossentropy"),
    ],
)
def test_contradictions_are_named(net, student, teacher, loss):
    with pytest.raises(ValueError, match=r"must not guess.*student, .* teacher, and.*labels\. Say"):
        compiled(net(activation=student), net(activation=teacher), loss)


def test_numbers_of_one_output_are_named():
    heads = {"cls": (5, "softmax"), "box": (4,)}
    distiller = Distiller(student=model(**heads), teacher=model(**heads))
    loss = {"cls": "sparse_categorical_crossentropy", "box": losses.Huber()}
    message = r"'box'.*Huber, a loss between numbers.*Term\(.*output='box'\)"
    with pytest.raises(ValueError, match=message):
        distiller.compile("sgd", loss=loss)
    with pytest.raises(ValueError, match=message):
        distiller.compile("sgd", loss=list(loss.values())[::-1])  # in the order of the names


# Keras says so of a head that nothing trains.
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("box", [4, 1])
def test_an_output_without_loss_has_no_term(box):
    heads = {"cls": (5, "softmax"), "box": (box,)}
    distiller = Distiller(student=model(**heads), teacher=model(**heads))
    x = np.random.default_rng(0).normal(size=(10, 4)).astype("float32")
    y = {"cls": np.arange(10) % 5}
    entropy = "sparse_categorical_crossentropy"
    for loss in ([None, entropy], {"cls": entropy, "box": None}, {"cls": entropy}):
        distiller.compile("sgd", loss=loss, alpha=0.1, temperature=4.0)
        assert names(distiller) == ["cls_soft_targets"]
    history = distiller.fit(x, y, verbose=0).history
    assert set(history) == {"loss", "hard_loss", "cls_soft_targets"}
    assert history["loss"][0] == pytest.approx(
        0.1 * history["hard_loss"][0] + 0.9 * history["cls_soft_targets"][0], rel=1e-5
    )
    if box == 4:
        distiller.compile("sgd", alpha=0.1, temperature=4.0)
        assert names(distiller) == ["box_soft_targets", "cls_soft_targets"]
        distiller.fit(x, verbose=0)
    else:
        with pytest.raises(ValueError, match=r"'box'.*one unit.*MultiLabelSoftTargets\(\)"):
            distiller.compile("sgd", alpha=0.1, temperature=4.0)


def test_outputs_that_all_leave_it_open_are_refused_at_once():
    heads = {"a": (1,), "b": (1,)}
    with pytest.raises(ValueError, match=r"soft targets suit the student's output 'a'.*one unit"):
        Distiller(student=model(**heads), teacher=model(**heads))


def test_compiling_anew_follows_the_new_loss(net, data):
    x, _ = data
    labels = np.random.default_rng(0).integers(0, 2, (24, 3))
    distiller = compiled(net(), net(), SPARSE, temperature=2.0)
    temperature, variables = distiller.temperature, distiller.variables
    distiller.fit(x, labels[:, 0], verbose=0)
    distiller.compile(keras.optimizers.SGD(0.0), loss=BINARY, alpha=0.25)
    assert names(distiller) == ["multi_label_soft_targets"]
    assert distiller.temperature is temperature
    assert [id(v) for v in distiller.variables] == [id(v) for v in variables]
    logs = distiller.fit(x, labels, batch_size=24, verbose=0).history
    t, s = (np.asarray(each(x), "float64") for each in (distiller.teacher, distiller.student))
    p, q = 1 / (1 + np.exp(-t)), 1 / (1 + np.exp(-s))
    kl = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(-1).mean()
    hard = -(labels * np.log(q) + (1 - labels) * np.log(1 - q)).mean()
    assert logs["multi_label_soft_targets"][0] == pytest.approx(kl, rel=1e-5)
    assert logs["loss"][0] == pytest.approx(0.25 * hard + 0.75 * kl, rel=1e-5)


def test_what_a_sigmoid_teacher_has_decided_is_saved(net, data, tmp_path):
    x, _ = data
    teacher = net(activation="sigmoid")
    distiller = compiled(net(), teacher, BINARY, temperature=2.0)
    distiller.compile("sgd", temperature=2.0)
    distiller.fit(x, verbose=0)
    distiller.save(tmp_path / "d.keras")
    loaded = keras.saving.load_model(tmp_path / "d.keras")
    loaded.save(tmp_path / "again.keras")
    loaded = keras.saving.load_model(tmp_path / "again.keras")
    assert names(loaded) == ["multi_label_soft_targets"]
    assert float(loaded.temperature) == 2.0
    loaded.teacher = teacher
    first, second = (each.fit(x, verbose=0, shuffle=False).history for each in (distiller, loaded))
    for column in first:
        assert first[column] == pytest.approx(second[column], rel=1e-6)


def test_another_kind_of_teacher_needs_another_distiller(net):
    distiller = Distiller(student=net(), teacher=net())
    distiller.teacher = net(activation="sigmoid")  # nothing is compiled yet
    distiller.compile("sgd", loss=own)
    assert names(distiller) == ["multi_label_soft_targets"]
    distiller.teacher = net(activation="sigmoid")
    with pytest.raises(ValueError, match="teacher must have outputs like those"):
        distiller.teacher = net()
