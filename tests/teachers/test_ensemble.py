"""Several teachers as one: their mean at the temperature in use, online and from stored answers."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, SoftLabels, Term, losses
from keras_kd.teachers import Ensemble, KerasModel

FROZEN = 0.0


def numpy(x):
    return np.asarray(keras.ops.convert_to_numpy(x), "float64")


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def mean_probabilities(logits, weights, temperature):
    return sum(w * np.exp(log_softmax(z / temperature)) for w, z in zip(weights, logits))


def kl(p, z, temperature):
    log_q = log_softmax(z / temperature)
    return temperature**2 * (p * (np.log(p) - log_q)).sum(-1).mean()


@pytest.fixture
def members(net):
    """Three teachers whose logits lie far apart, one of them with a softmax."""
    models = [net(width=8), net(width=16), net(width=12, activation="softmax")]
    for model, factor in zip(models, (1.0, 4.0, 2.0)):
        model.set_weights([factor * weight for weight in model.get_weights()])
    return models


@pytest.fixture
def logits(members, data):
    """The members' logits in float64."""
    found = [numpy(model(data[0])) for model in members]
    return [*found[:2], np.log(found[2])]


@pytest.fixture
def losses_of(data):
    """Returns `f(distiller, data=...)`: the logs of one step that changes nothing."""

    def run(distiller, shown=data[0], **options):
        if not distiller.compiled:
            distiller.compile(keras.optimizers.SGD(FROZEN), **options)
        history = distiller.fit(shown, batch_size=None if shown is not data[0] else 24, verbose=0)
        return {name: values[0] for name, values in history.history.items()}

    return run


def test_the_mean_is_exact_at_the_temperature_in_use(net, members, logits, losses_of, data):
    student, weights = net(), [0.5, 0.3, 0.2]
    distiller = Distiller(student=student, teacher=Ensemble(members, weights))
    distiller.compile(keras.optimizers.SGD(FROZEN), alpha=0.0, student_power=1.0)
    for temperature in (1.0, 2.5, 20.0):
        distiller.temperature.assign(temperature)
        expected = kl(
            mean_probabilities(logits, weights, temperature), numpy(student(data[0])), temperature
        )
        assert losses_of(distiller)["soft_targets"] == pytest.approx(expected, rel=1e-5)


def test_each_term_reads_the_mean_in_its_own_way(net, members, logits, losses_of, data):
    student, weights = net(), [1 / 3] * 3
    terms = [
        Term(losses.SoftTargets(3.0), name="three"),
        Term(losses.SoftTargets(1.0), name="one"),
        Term(losses.HardLabels(), name="hard"),
    ]
    logs = losses_of(Distiller(student=student, teacher=members, terms=terms))
    z = numpy(student(data[0]))
    for name, temperature in (("three", 3.0), ("one", 1.0)):
        expected = kl(mean_probabilities(logits, weights, temperature), z, temperature)
        assert logs[name] == pytest.approx(expected, rel=1e-5)
    top = mean_probabilities(logits, weights, 1.0).argmax(-1)
    expected = -np.take_along_axis(log_softmax(z), top[:, None], -1).mean()
    assert logs["hard"] == pytest.approx(expected, rel=1e-5)


def test_terms_on_logits_read_the_mean_of_the_logits(net, members, losses_of, data):
    student, weights = net(), [0.75, 0.25]
    teacher = Ensemble(members[:2], weights=[3, 1])
    assert teacher.weights == weights
    terms = [losses.LogitMSE(), keras.losses.MeanAbsoluteError()]
    logs = losses_of(Distiller(student=student, teacher=teacher, terms=terms))
    mean = sum(w * numpy(model(data[0])) for w, model in zip(weights, members))
    z = numpy(student(data[0]))
    assert logs["logit_mse"] == pytest.approx(np.mean((mean - z) ** 2), rel=1e-5)
    assert logs["mean_absolute_error"] == pytest.approx(np.mean(np.abs(mean - z)), rel=1e-5)


def test_sigmoids_are_averaged_class_by_class(net, losses_of, data):
    members, terms = [net(activation="sigmoid"), net(width=16)], [losses.MultiLabelSoftTargets(2.0)]
    distiller = Distiller(student=net(activation="sigmoid"), teacher=members, terms=terms)
    z = numpy(members[0](data[0])), numpy(members[1](data[0]))
    z = np.log(z[0] / (1 - z[0])), z[1]
    p = sum(1 / (1 + np.exp(-each / 2.0)) for each in z) / 2
    s = numpy(distiller.student(data[0]))
    q = 1 / (1 + np.exp(-np.log(s / (1 - s)) / 2.0))
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    logs = losses_of(distiller)
    scale = logs["multi_label_soft_targets"] / expected
    assert scale == pytest.approx(round(scale), rel=1e-4)  # the sum or the mean over the classes


def test_members_may_differ_in_resolution(net, losses_of, data):
    wide = keras.Sequential([keras.Input((2, 2)), layers.Flatten(), layers.Dense(3)])
    shown = KerasModel(wide, preprocess=lambda x: keras.ops.reshape(x, (-1, 2, 2)))
    student, other = net(), net(width=16)
    distiller = Distiller(student=student, teacher=[other, shown])
    logs = losses_of(distiller, alpha=0.0, temperature=4.0)
    z = [numpy(other(data[0])), numpy(wide(data[0].reshape(-1, 2, 2)))]
    expected = kl(mean_probabilities(z, [0.5, 0.5], 4.0), numpy(student(data[0])), 4.0)
    assert logs["soft_targets"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"must have one input, or a preprocess"):
        Ensemble([other, wide])


def test_one_member_is_that_member_and_ensembles_may_be_nested(net, members, losses_of):
    student = net()
    alone = losses_of(Distiller(student=student, teacher=members[1]), alpha=0.0)
    listed = losses_of(Distiller(student=student, teacher=[members[1]]), alpha=0.0)
    assert listed["loss"] == pytest.approx(alone["loss"], rel=1e-6)
    nested = Ensemble([Ensemble(members[:2], [1, 3]), members[2]])
    assert nested.weights == [0.125, 0.375, 0.5]
    assert len(nested.members) == 3


def test_members_of_weight_zero_are_seen_and_not_asked(net, members, data):
    teacher = Ensemble(members, [1, 0, 3])
    assert teacher.models == [members[0], members[2]]
    assert teacher.weights == [0.25, 0.0, 0.75]
    assert [member.model for member in teacher.members] == members
    assert f"0 · {members[1].name} (not asked)" in repr(teacher)
    two = Ensemble([members[0], members[2]], [1, 3])
    assert teacher.respondents == two.respondents
    assert teacher.fingerprint() == two.fingerprint()
    for one, other in zip(teacher.predict(data[0])["output"], two.predict(data[0])["output"]):
        np.testing.assert_array_equal(one, other)


def test_the_caller_s_models_stay_as_they_were(net, members, data):
    before = [model.get_weights() for model in members]
    distiller = Distiller(student=net(), teacher=members)
    distiller.compile("sgd")
    distiller.fit(data[0], verbose=0)
    for model, weights in zip(members, before):
        assert model.trainable
        for a, b in zip(model.get_weights(), weights):
            np.testing.assert_array_equal(a, b)
    assert len(distiller.variables) == len(Distiller(student=net(), teacher=members[0]).variables)


def test_a_member_that_gives_nan_is_named(net, members, data):
    broken = net(width=5)
    broken.name = "broken"
    broken.layers[-1].set_weights([np.full((5, 3), np.nan), np.zeros(3)])
    distiller = Distiller(student=net(), teacher=[*members, broken])
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"finite answers.*NaN or Inf from 'broken', first in bat"):
        distiller.fit(data[0], batch_size=8, verbose=0)
    distiller = Distiller(student=net(), teacher=broken)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="Received: NaN or Inf, first in batch 1"):
        distiller.fit(data[0], batch_size=8, verbose=0)


def test_loading_and_a_new_teacher(net, members, data, tmp_path):
    distiller = Distiller(student=net(), teacher=members)
    distiller.compile("sgd")
    distiller.fit(data[0], verbose=0)
    distiller.save(tmp_path / "d.keras")
    loaded = keras.saving.load_model(tmp_path / "d.keras")
    loaded.teacher = members
    for d in (distiller, loaded):
        d.fit(data[0], shuffle=False, verbose=0)
    for a, b in zip(distiller.student.get_weights(), loaded.student.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_what_it_says_of_itself(members):
    teacher = Ensemble(members, [2, 1, 1])
    first, second = (model.name for model in members[:2])
    assert teacher.described().startswith(f"ensemble of 0.5 · {first}, 0.25 · {second}")
    assert teacher.input_shapes() == [(None, 4)]
    assert teacher.fingerprint() != Ensemble(members).fingerprint()
    assert teacher.fingerprint() == Ensemble(members, [0.5, 0.25, 0.25]).fingerprint()
    assert Ensemble([members[0]] * 2).respondents == [f"{first} (1)", f"{first} (2)"]


def test_bad_input(net, members):
    for empty in ([], ()):
        with pytest.raises(ValueError, match="models must be a list of teachers, at least one"):
            Ensemble(empty)
    with pytest.raises(ValueError, match="models must be a list of teachers"):
        Distiller(student=net(), teacher=[])
    with pytest.raises(TypeError, match="models must be a list of teachers"):
        Ensemble(members[0])
    with pytest.raises(ValueError, match=r"weights\[1\] must be a finite number at least 0"):
        Ensemble(members, [1.0, -1.0, 1.0])
    for wrong in ([1.0, 1.0], [0, 0, 0]):
        with pytest.raises(ValueError, match="weights must have one number for each member"):
            Ensemble(members, wrong)
    with pytest.raises(ValueError, match="must have outputs of one kind and shape"):
        Ensemble([members[0], net(units=5)])
    with pytest.raises(ValueError, match="must have outputs of one kind and shape"):
        Ensemble([members[2], net(activation="sigmoid")])
    hint = Term(losses.Hint(), teacher="hidden", student="hidden")
    with pytest.raises(ValueError, match="must have a signal at the layers that the terms name"):
        Distiller(student=net(), teacher=members, terms=[hint])
    for temperature, fits in ((1.0, True), (4.0, False)):
        terms = [losses.NKD(temperature=temperature)]
        if fits:
            Distiller(student=net(), teacher=members, terms=terms)
            continue
        with pytest.raises(ValueError, match="must read an ensemble at one temperature"):
            Distiller(student=net(), teacher=members, terms=terms)


@pytest.mark.parametrize("top_k", [None, 2])
def test_one_answer_is_stored_for_all(net, members, logits, losses_of, data, tmp_path, top_k):
    pytest.importorskip("tensorflow")
    x, student, weights = data[0], net(), [0.5, 0.3, 0.2]
    teacher = Ensemble(members, weights)
    options = {"temperatures": (2.0, 5.0), "dtype": "float32", "top_k": top_k, "verbose": 0}
    soft = SoftLabels.write(tmp_path / "soft", teacher=teacher, data=x, **options)
    soft = SoftLabels.open(tmp_path / "soft")
    assert soft.heads["output"].shape == (None, 3)
    assert soft.check(teacher, x).same_top_class == 1.0
    distiller = Distiller(student=student, teacher=soft)
    distiller.compile(keras.optimizers.SGD(FROZEN), alpha=0.0, temperature=2.0)
    rows = soft.dataset(x, batch_size=24, shuffle=False)
    for temperature in (2.0, 5.0):
        distiller.temperature.assign(temperature)
        p = mean_probabilities(logits, weights, temperature)
        expected = kl(p, numpy(student(x)), temperature)
        assert losses_of(distiller, rows)["soft_targets"] == pytest.approx(expected, rel=2e-5)
    distiller.temperature.assign(3.0)
    with pytest.raises(ValueError, match="temperature must stay one that the labels were written"):
        distiller.fit(rows, verbose=0)
    with pytest.raises(ValueError, match=r"must be one that the labels were written for.*\[2.0, 5"):
        Distiller(student=student, teacher=soft).compile("sgd", temperature=4.0)
    with pytest.raises(ValueError, match="must be a tempered softmax of the logits"):
        Distiller(student=student, teacher=soft, terms=[losses.LogitMSE()])


def test_a_member_that_gives_nan_is_named_when_labels_are_written(net, members, data):
    pytest.importorskip("tensorflow")
    broken = net(width=5)
    broken.name = "broken"
    broken.layers[-1].set_weights([np.full((5, 3), np.nan), np.zeros(3)])
    with pytest.raises(ValueError, match="NaN or Inf of 'broken' for sample 0 in view 0"):
        SoftLabels.write(None, teacher=[members[0], broken], data=data[0], verbose=0)
    soft = SoftLabels.write(None, teacher=members[0], data=data[0], verbose=0)
    with pytest.raises(TypeError, match=r"models\[\d\] must be a model that can be asked"):
        Ensemble([members[0], soft])


def test_stored_means_of_classes_have_no_common_offset(members, data):
    """Half precision could not hold small differences far below 0."""
    teacher = Ensemble(members)
    stored = teacher.stored(teacher.predict(data[0]), (1.0, 50.0))["output"]
    assert stored.shape == (len(data[0]), 2, 3)
    np.testing.assert_allclose(stored.mean(axis=-1), 0.0, atol=1e-5)
