"""Every wrong use that can be seen at construction or compilation is refused there, in one form."""

import re

import keras
import numpy as np
import pytest
from keras import layers, losses

from keras_kd import Distiller, Term
from keras_kd.losses import MultiLabelSoftTargets, SoftTargets

FORM = re.compile(r" must .*\. Expected: .+\. Received: .+\. [A-Z].+\.$", re.DOTALL)


def refused(error, words):
    """Expects `error` with these words and in the form of all messages."""
    return pytest.raises(error, match=f"(?s){words}", check=lambda e: bool(FORM.search(str(e))))


@pytest.fixture
def distiller(net):
    return Distiller(student=net(), teacher=net())


@pytest.fixture
def with_terms(net):
    return Distiller(student=net(), teacher=net(), terms=[SoftTargets()])


# Models


@pytest.mark.parametrize("wrong", [None, "resnet", lambda x: x, keras.layers.Dense(3)])
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_not_a_model(net, role, wrong):
    models = {"student": net(), "teacher": net(), role: wrong}
    with refused(TypeError, f"{role} must be a Keras model"):
        Distiller(**models)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_an_unbuilt_model(net, role):
    unbuilt = keras.Sequential([layers.Dense(3)])
    with refused(ValueError, f"{role} must be built"):
        Distiller(**{"student": net(), "teacher": net(), role: unbuilt})


# Heads


def test_one_linear_unit_asks_for_terms(net):
    with refused(ValueError, "which soft targets suit the student's output.*one unit.*terms="):
        Distiller(student=net(1), teacher=net(1))
    with refused(ValueError, "SoftTargets in term 'soft_targets' must compare at least 2 classes"):
        Distiller(student=net(1), teacher=net(1), terms=[SoftTargets()])
    Distiller(student=net(1), teacher=net(1), terms=[losses.MeanSquaredError()])
    Distiller(student=net(1, "sigmoid"), teacher=net(1, "sigmoid"))


# Terms


@pytest.mark.parametrize("terms", [SoftTargets(), {"a": SoftTargets()}, "kl"])
def test_terms_must_be_a_list(net, terms):
    with refused(TypeError, "terms must be a list of losses or Terms"):
        Distiller(student=net(), teacher=net(), terms=terms)


def test_terms_must_not_be_empty(net):
    with refused(ValueError, "terms must hold at least one loss or Term"):
        Distiller(student=net(), teacher=net(), terms=[])


def test_a_terms_scalars_are_assigned_not_replaced():
    term = Term(SoftTargets())
    for name in ("weight", "temperature"):
        with pytest.raises(AttributeError, match=rf"Use term.{name}.assign\(value\)"):
            setattr(term, name, 2.0)


@pytest.mark.parametrize("loss", [SoftTargets(), MultiLabelSoftTargets()])
@pytest.mark.parametrize("teacher", [[[1.0]], [2.0], [[[1.0, 2.0, 3.0]]]])
def test_logits_are_never_broadcast(loss, teacher):
    with refused(ValueError, "y_true and y_pred must be logits of one shape"):
        loss(teacher, [[1.0, 2.0, 3.0]])


def test_metrics_and_terms_have_names_of_their_own(net):
    terms = [SoftTargets(name="accuracy")]
    distiller = Distiller(student=net(), teacher=net(), terms=terms)
    with refused(ValueError, "Metrics and terms must have names of their own"):
        distiller.compile(metrics=["accuracy"])


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_weights_are_not_negative(weight):
    with refused(ValueError, "weight must be a finite number at least 0"):
        Term(SoftTargets(), weight=weight)


@pytest.mark.parametrize("weight", ["1", True, [1.0]])
def test_weights_are_numbers(weight):
    with refused(TypeError, "weight must be a finite number"):
        Term(SoftTargets(), weight=weight)


def test_names_of_terms_are_distinct(net):
    terms = [Term(SoftTargets(), name="same"), Term(SoftTargets(), name="same")]
    with refused(ValueError, "Each term must have a name of its own"):
        Distiller(student=net(), teacher=net(), terms=terms)
    with refused(ValueError, "Each term must have a name of its own"):
        Distiller(student=net(), teacher=net(), terms=[Term(SoftTargets(), name="hard_loss")])


def test_terms_name_their_output():
    inputs = keras.Input((4,))
    student, teacher = (
        keras.Model(inputs, [layers.Dense(3, name=n)(inputs) for n in "ab"]) for _ in range(2)
    )
    for output in (None, "c"):
        with refused(ValueError, r"must name an output of the student.*\['a', 'b'\]"):
            Distiller(student=student, teacher=teacher, terms=[Term(SoftTargets(), output=output)])
    distiller = Distiller(student=student, teacher=teacher, terms=[Term(SoftTargets(), output="b")])
    assert distiller.terms[0].name == "b_soft_targets"


def test_a_scalar_loss_is_refused(net, data):
    class Scalar(losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(y_true - y_pred)

    distiller = Distiller(student=net(), teacher=net(), terms=[Scalar(name="mine")])
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="term 'mine' must return one value per example"):
        distiller.fit(*data, verbose=0)


def test_weights_per_position_for_a_loss_per_example():
    logits = np.zeros((5, 3), "float32")
    with pytest.raises(ValueError, match=r"sample_weight must fit term 'soft_targets'.*\(5, 5\)"):
        Term(SoftTargets())(logits, logits, sample_weight=np.ones((5, 5), "float32"))


def test_the_student_stays(distiller, net):
    with pytest.raises(AttributeError, match="A Distiller keeps its student"):
        distiller.student = net()


def test_nested_outputs():
    inputs = keras.Input((4,))
    outputs = {"a": [layers.Dense(3)(inputs), layers.Dense(3)(inputs)]}
    model = keras.Model(inputs, outputs)
    with refused(ValueError, "must be a tensor, or a list or dict of tensors"):
        Distiller(student=model, teacher=keras.models.clone_model(model))


def test_a_teacher_around_the_student(net):
    student = net()
    with refused(ValueError, "with weights of its own"):
        Distiller(student=student, teacher=keras.Sequential([keras.Input((4,)), student]))


def test_the_terms_stay_as_they_are(distiller):
    with pytest.raises(AttributeError, match="append"):
        distiller.terms.append(SoftTargets())


def test_no_term_takes_a_validations_column(net):
    with refused(ValueError, "Each term must have a name of its own"):
        Distiller(student=net(), teacher=net(), terms=[Term(SoftTargets(), name="val_loss")])


# compile


def test_a_loss_needs_labels(distiller, data):
    distiller.compile(loss=losses.SparseCategoricalCrossentropy(from_logits=True))
    with refused(ValueError, "y must hold labels for the loss"):
        distiller.fit(data[0], verbose=0)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_is_a_share(distiller, alpha):
    with refused(ValueError, "alpha must be a finite number from 0 to 1"):
        distiller.compile(alpha=alpha)


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf")])
def test_temperature_is_positive(distiller, temperature):
    with refused(ValueError, "temperature must be a finite number above 0"):
        distiller.compile(temperature=temperature)


def test_hard_weight_is_not_negative(with_terms):
    with refused(ValueError, "hard_weight must be a finite number at least 0"):
        with_terms.compile(hard_weight=-1)


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.5}, {"temperature": 2.0}, {"distillation_loss_fn": losses.KLDivergence()}]
)
def test_the_plain_forms_arguments_beside_terms(with_terms, wrong):
    with refused(ValueError, f"{next(iter(wrong))} must not be given to a Distiller with terms"):
        with_terms.compile(**wrong)


def test_the_full_forms_argument_without_terms(distiller):
    with refused(ValueError, "hard_weight must not be given to the plain form"):
        distiller.compile(hard_weight=0.5)


def test_what_the_other_form_has(with_terms):
    with pytest.raises(AttributeError, match="has no alpha"):
        _ = with_terms.alpha
    with pytest.raises(AttributeError, match="has no temperature"):
        _ = with_terms.temperature


def test_a_refused_compile_leaves_the_last_one_standing(distiller):
    distiller.compile(alpha=0.5, temperature=2.0)
    with pytest.raises(ValueError, match="temperature"):
        distiller.compile(alpha=0.7, temperature=-1.0)
    assert (float(distiller.alpha), float(distiller.temperature)) == (0.5, 2.0)
