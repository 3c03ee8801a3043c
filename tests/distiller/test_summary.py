"""What a Distiller says of itself."""

import keras

from keras_kd import Distiller, Term
from keras_kd.losses import SoftTargets
from keras_kd.teachers.keras_model import KerasModel

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def page(distiller, **kwargs):
    lines = []
    distiller.summary(print_fn=lambda text, **_: lines.append(text), **kwargs)
    return "\n".join(lines)


def test_repr_names_who_learns_what_from_whom(net):
    student, teacher = net(), net(width=32)
    student.name, teacher.name = "small", "big"
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(alpha=0.25)
    assert repr(distiller) == (
        "<Distiller name=distiller, student=small, teacher=big, "
        "loss=0.25 hard_loss + 0.75 soft_targets>"
    )
    distiller.alpha.assign(0.5)
    assert "0.5 hard_loss + 0.5 soft_targets" in repr(distiller)


def test_summary_of_the_plain_form(net):
    student, teacher = net(), net(width=32)
    student.name, teacher.name = "small", "big"
    student.layers[0].trainable = False
    distiller = Distiller(student=student, teacher=KerasModel(teacher))
    assert "hard loss" not in page(distiller)
    distiller.compile(loss=CROSS_ENTROPY, alpha=0.1, temperature=4.0)
    text = page(distiller)
    for line in (
        "teacher            big, 259 parameters, neither trained nor saved",
        "hard loss          0.1 · SparseCategoricalCrossentropy",
        "term soft_targets  0.9 · SoftTargets(temperature=4, standardize=False)",
        "trained            small, 27 of 67 parameters of the student",
        "saved              student, terms, optimizer",
        "exported           small alone",
    ):
        assert f"  {line}\n" in text, line
    assert 'Model: "small"' in text  # and the student's own summary


def test_summary_of_the_full_form_and_of_a_loaded_distiller(net, tmp_path):
    terms = [Term(SoftTargets(2.0), weight=3.0, name="soft"), keras.losses.MeanSquaredError()]
    distiller = Distiller(student=net(), teacher=net(), terms=terms)
    distiller.compile("sgd", hard_weight=0.5)
    text = page(distiller, line_length=60)
    assert "0.5 · none, because no loss was given" in text
    assert "term soft                3 · SoftTargets(temperature=2" in text
    assert "term mean_squared_error  1 · MeanSquaredError()" in text
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    assert "none; set distiller.teacher before training" in page(loaded)
    assert "teacher=None" in repr(loaded)


def test_losses_by_output_and_functions_are_named():
    inputs = keras.Input((4,))

    def model():
        return keras.Model(inputs, {n: keras.layers.Dense(3, name=n)(inputs) for n in "ab"})

    def mine(y, z):
        return z[:, 0]

    distiller = Distiller(student=model(), teacher=model())
    distiller.compile(loss={"a": CROSS_ENTROPY, "b": mine}, alpha=0.1, temperature=4.0)
    assert "{'a': 'SparseCategoricalCrossentropy', 'b': 'mine'}" in page(distiller)
    assert "SoftTargets(temperature=4, standardize=False) on b" in page(distiller)
