"""Can this teacher teach this student?"""

from collections.abc import Sequence

import keras

from keras_kd._errors import message, refusal
from keras_kd.distiller import forms
from keras_kd.distiller.counterparts import check_order, input_for_teacher, mismatch, outputs_taught
from keras_kd.distiller.terms.term import Term
from keras_kd.losses import DistillationLoss, FeatureLoss
from keras_kd.networks.heads import Head, LogitsModel
from keras_kd.networks.ports import Inputs
from keras_kd.teachers.teacher import NoTeacher, Teacher

__all__ = ["check_teacher", "matched", "not_compiled"]


def matched(
    teacher: Teacher, taught: Sequence[str], terms: list[Term], student: LogitsModel
) -> Teacher:
    """Returns the teacher as that of this student, whose inputs and outputs it knows by name.

    Args:
        teacher: The teacher.
        taught: Names of the student's outputs that learn from one of the teacher's.
        terms: The terms, as far as they are known.
        student: The student.

    Raises:
        ValueError: If inputs or outputs do not belong together.
    """
    return teacher.each(lambda one: _matched(one, taught, terms, student))


def _matched(
    teacher: Teacher, taught: Sequence[str], terms: list[Term], student: LogitsModel
) -> Teacher:
    if isinstance(teacher, NoTeacher):
        return teacher
    own, students = (dict(zip(side.heads, side.outputs)) for side in (teacher, student))
    taught_by = outputs_taught(own, students, taught, forms.free(terms, student.names))
    inputs, shown = Inputs(student.model), None
    shows_itself = teacher.preprocess is None and teacher.preprocess_samples is None
    if teacher.inputs is not None and shows_itself:
        shown = input_for_teacher(teacher.inputs, inputs)
    check_order(teacher.input_order, inputs)
    classes = {own: student.heads[name].classes for name, own in taught_by.items()}
    return teacher.matched(taught_by, shown, classes)


def check_teacher(teacher: Teacher, terms: list[Term], student: LogitsModel) -> None:
    """Raises where a matched teacher cannot teach the student; builds the terms' projectors."""
    if isinstance(teacher, NoTeacher):
        return
    _check_reachable(teacher)
    taught_by = teacher.taught_by(student.names)
    _connect(teacher, terms, student, taught_by)
    for term in terms:
        _check_projector(term, teacher.variables, student.model)
        _check_feature_distillation(term, teacher, student, taught_by)
    teacher.check_terms([term for term in terms if term.needs_output], student.names)
    for model in teacher.models:
        _check_apart(model, student.model)


def _check_reachable(teacher: Teacher) -> None:
    """Raises where a backend's compiled steps cannot call a teacher on the host."""
    if teacher.on_host and keras.backend.backend() != "tensorflow":
        received = f"{teacher.name!r} on {keras.backend.backend()}"
        raise ValueError(not_compiled("TensorFlow, whose graphs can call the host", received))


def not_compiled(expected: str, received: str) -> str:
    """Returns the message for a teacher on the host that is to be compiled."""
    return message(
        "A teacher on the host, a file or a function, must not be part of what a compiler compiles",
        expected=expected,
        received=received,
        mend="Store its answers first: soft = keras_kd.SoftLabels.write(folder, teacher=teacher, "
        "data=x), then teacher=soft",
    )


def _check_feature_distillation(
    term: Term, teacher: Teacher, student: LogitsModel, taught_by: dict[str, str]
) -> None:
    """Raises where `keras.distillation` would compare probabilities, and a Term logits."""
    if not (term.is_of_keras and term.needs_output):
        return
    name = term.output_of(student.names)
    heads = {
        "student": None if term.student else student.heads[name],
        "teacher": None if term.teacher else teacher.heads[taught_by[name]],
    }
    for role, head in heads.items():
        if head and head.kind in ("softmax", "sigmoid"):
            raise refusal(
                f"FeatureDistillation must name the {role}'s layer where its output gives "
                "probabilities, because a Term on outputs compares logits",
                expected=f"{role}_layer_name=",
                received=f"None, and an output that gives {head.kind} probabilities",
                mend="Name the last layer, or pass keras_kd.losses.SoftTargets()",
            )


def _check_apart(teacher: keras.Model, student: keras.Model) -> None:
    """Raises where the teacher is the student."""
    own = {id(weight) for weight in teacher.weights}
    if teacher is student or (own and own <= set(map(id, student.weights))):
        raise refusal(
            "teacher must be another model than the student, with weights of its own",
            expected="a trained model",
            received=f"{teacher.name!r}, all of whose weights are the student's",
            mend="Pass teacher=keras.models.clone_model(student) with its weights set",
        )


def _connect(teacher: Teacher, terms: list[Term], student: LogitsModel, taught_by: dict) -> None:
    """Has each term fit the shapes of its two signals."""
    names = list(student.heads)
    shapes = [
        {name: head.shape for name, head in student.heads.items()} | student.signals,
        {name: teacher.heads[other].shape for name, other in taught_by.items()}
        | dict(teacher.signals),
    ]
    for term in terms:
        answer, signal = term.signals_of(names)
        if term.on_outputs:
            output = term.output_of(names)
            heads = {"student": student.heads[output], "teacher": teacher.heads[taught_by[output]]}
            inverted = student.inverted[output] or teacher.inverted[taught_by[output]]
            _check_heads(term, output, heads, inverted)
        term.connect(shapes[1][answer], shapes[0][signal])


def _check_heads(term: Term, output: str, heads: dict[str, Head], inverted: bool) -> None:
    """Raises where the two signals of a term are not of one kind."""
    kinds = {head.kind for head in heads.values()}
    on_features = isinstance(term.loss, FeatureLoss)
    needs_logits = isinstance(term.loss, DistillationLoss) and not on_features
    for role, head in heads.items():
        if head.kind is None and (needs_logits or kinds & {"softmax", "sigmoid"}):
            raise _unknown_head(term, role)
    if needs_logits and kinds == {"softmax", "sigmoid"}:
        student, teacher = (head.kind for head in heads.values())
        raise mismatch(f"the same kind of head at {output!r}", student, teacher)
    if needs_logits:
        term.loss.check_classes(heads["student"].classes, f" in term {term.name!r}")
    if inverted and "softmax" in kinds and not getattr(term.loss, "shift_invariant", False):
        raise refusal(
            f"The loss of term {term.name!r} must not depend on the logits' mean, which a "
            "softmax that the graph does not show has lost",
            expected="keras_kd.losses.SoftTargets, or models that return logits",
            received=type(term.loss).__name__,
            mend="Let both models return logits",
        )


def _check_projector(term: Term, teacher: list[keras.Variable], student: keras.Model) -> None:
    """Raises where a projector would train the teacher, or be saved as part of the student, too."""
    if term.projector is None:
        return
    freeze = "Build a new layer, or freeze that one: layer.trainable = False"
    for role, own, variables, mend in (
        ("teacher", teacher, term.projector.trainable_variables, freeze),
        ("student", student.variables, term.projector.variables, "Build a new layer"),
    ):
        known = set(map(id, own))
        shared = next((variable for variable in variables if id(variable) in known), None)
        if shared is not None:
            raise refusal(
                f"projector of term {term.name!r} must have weights of its own",
                expected=f"none of the {role}'s",
                received=f"{shared.path!r}, which the {role} has, too",
                mend=mend,
            )


def _unknown_head(term: Term, role: str) -> ValueError:
    return refusal(
        f"{role}_head must be given, because the {role}'s graph does not show whether it ends in "
        f"logits, which term {term.name!r} needs to know",
        expected=f"{role}_head='logits', 'softmax' or 'sigmoid'",
        received="None",
        mend=f"Pass {role}_head=, or head= to one of keras_kd.teachers, or build the {role} "
        "from keras.Input with a Dense layer at the end",
    )
