"""Can this teacher teach this student?"""

from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import message
from keras_kd.distiller.terms.term import Term
from keras_kd.losses import DistillationLoss, FeatureLoss
from keras_kd.losses.base import same_shape
from keras_kd.networks.heads import Head, LogitsModel
from keras_kd.teachers.teacher import KerasModel, NoTeacher, Teacher


def asked_teacher(teacher: Any, head: str | dict | None) -> Teacher:
    """Returns what is asked for answers: a teacher of `keras_kd.teachers` as it is, or a model.

    Raises:
        TypeError: If it is neither.
        ValueError: If `teacher_head` says again what the teacher says itself.
    """
    if not isinstance(teacher, Teacher):
        return KerasModel(teacher, head)
    if head is not None and not isinstance(teacher, NoTeacher):
        raise ValueError(
            message(
                "teacher_head must be left to a teacher of keras_kd.teachers",
                expected="teacher_head=None",
                received=f"teacher_head={head!r}",
                mend=f"Say it where the teacher is made, e.g. KerasModel(model, head={head!r})",
            )
        )
    return teacher


def check_teacher(teacher: Teacher, terms: list[Term], student: LogitsModel) -> None:
    """Raises where the teacher cannot teach the student; builds the terms' projectors.

    Outputs of dicts belong together by key, those of lists by position.
    """
    if isinstance(teacher, NoTeacher):
        return
    on_features = not any(term.needs_output for term in terms)
    taught_by = {} if on_features else _check_outputs(teacher, terms, student)
    _connect(teacher, terms, student, taught_by)
    for term in terms:
        _check_projector(term, teacher.variables, student.model)
        _check_feature_distillation(term, teacher, student, taught_by)
    on_outputs = [term for term in terms if term.needs_output]
    teacher.check_terms(on_outputs, list(student.heads))
    if teacher.model is not None:
        _check_model(teacher, student)


def _check_feature_distillation(
    term: Term, teacher: Teacher, student: LogitsModel, taught_by: dict[str, str]
) -> None:
    """Raises where `keras.distillation` would compare probabilities, and a Term logits."""
    if not (term.is_of_keras and term.needs_output):
        return
    name = term.output_of(student.names)
    heads = {"student": student.heads[name], "teacher": teacher.heads[taught_by[name]]}
    for role, path in {"student": term.student, "teacher": term.teacher}.items():
        if path is None and heads[role].kind in ("softmax", "sigmoid"):
            raise ValueError(
                message(
                    f"FeatureDistillation must name the {role}'s layer where its output gives "
                    "probabilities, because a Term on outputs compares logits",
                    expected=f"{role}_layer_name=",
                    received=f"None, and an output that gives {heads[role].kind} probabilities",
                    mend="Name the last layer, or pass keras_kd.losses.SoftTargets()",
                )
            )


def _check_model(teacher: Teacher, student: LogitsModel) -> None:
    """Raises where the teacher's model does not take the student's input, or is the student."""
    if teacher.preprocess is None and teacher.preprocess_samples is None:
        _check_inputs(teacher.model, student.model)
    own = {id(weight) for weight in teacher.model.weights}
    if teacher.model is student.model or (own and own <= set(map(id, student.model.weights))):
        raise ValueError(
            message(
                "teacher must be another model than the student, with weights of its own",
                expected="a trained model",
                received=f"{teacher.model.name!r}, all of whose weights are the student's",
                mend="Pass teacher=keras.models.clone_model(student) with its weights set",
            )
        )


def _check_inputs(teacher: keras.Model, student: keras.Model) -> None:
    """Raises where the graphs show that one batch does not serve both."""
    graphs = [_keras.graph(model) for model in (student, teacher)]
    if None in graphs:
        return
    given, needed = (graph[0] for graph in graphs)
    if isinstance(given, dict) and isinstance(needed, dict):
        given = {name: tensor for name, tensor in given.items() if name in needed}
    shapes = [[tensor.shape for tensor in keras.tree.flatten(each)] for each in (given, needed)]
    same = len(shapes[0]) == len(shapes[1]) and all(map(same_but_for_ones, *shapes))
    if not same:
        raise ValueError(
            message(
                "teacher and student must take the same input, or the teacher have a preprocess",
                expected=f"{shapes[0]}, as the student takes",
                received=f"a teacher that takes {shapes[1]}",
                mend="Pass keras_kd.teachers.KerasModel(teacher, preprocess=...) with a function "
                "from the student's input to the teacher's",
            )
        )


def same_but_for_ones(a: tuple, b: tuple) -> bool:
    """Whether Keras takes one shape for the other: it adds and drops a last axis of size 1."""
    a, b = (shape[:-1] if shape[-1] == 1 else shape for shape in (a, b))
    return same_shape(a, b)


def _check_outputs(teacher: Teacher, terms: list[Term], student: LogitsModel) -> dict[str, str]:
    """Raises where outputs do not belong together; returns the teacher's by the student's names."""
    names = list(student.heads)
    by_key = len(names) > 1 and (teacher.keyed or student.keyed)
    same_keys = teacher.keyed == student.keyed and set(teacher.heads) == set(names)
    if len(teacher.heads) != len(names) or (by_key and not same_keys):
        mend = "Pass a teacher of these outputs, e.g. keras.Model(t.inputs, t.outputs[0])"
        raise _mismatch("the same outputs", names, list(teacher.heads), mend)
    taught_by = dict(zip(names, names if by_key else teacher.heads))
    free = _free_outputs(terms, names)
    for name, s in student.heads.items():
        t = teacher.heads[taught_by[name]]
        if s.shape is None or t.shape is None or name in free:
            continue
        if not same_shape(s.shape, t.shape):
            raise _mismatch(f"the same shape at {name!r}", s.shape, t.shape)
    return taught_by


def _free_outputs(terms: list[Term], names: list[str]) -> set[str]:
    """Returns the outputs whose shapes are the business of terms on features or with projectors."""
    compared, free = set(), set()
    for term in terms:
        if term.needs_output:
            alike = term.on_outputs and term.projector is None
            alike = alike and not isinstance(term.loss, FeatureLoss)
            (compared if alike else free).add(term.output_of(names))
    return free - compared


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
        raise _mismatch(f"the same kind of head at {output!r}", student, teacher)
    if needs_logits:
        term.loss.check_classes(heads["student"].classes, f" in term {term.name!r}")
    if inverted and "softmax" in kinds and not getattr(term.loss, "shift_invariant", False):
        raise ValueError(
            message(
                f"The loss of term {term.name!r} must not depend on the logits' mean, which a "
                "softmax that the graph does not show has lost",
                expected="keras_kd.losses.SoftTargets, or models that return logits",
                received=type(term.loss).__name__,
                mend="Let both models return logits",
            )
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
            raise ValueError(
                message(
                    f"projector of term {term.name!r} must have weights of its own",
                    expected=f"none of the {role}'s",
                    received=f"{shared.path!r}, which the {role} has, too",
                    mend=mend,
                )
            )


def _mismatch(
    rule: str,
    student: Any,
    teacher: Any,
    mend: str = "Change the last layer of one of them, or use another teacher",
) -> ValueError:
    return ValueError(
        message(
            f"teacher and student must have {rule}",
            expected=f"{student}, as the student has",
            received=f"{teacher} from the teacher",
            mend=mend,
        )
    )


def _unknown_head(term: Term, role: str) -> ValueError:
    return ValueError(
        message(
            f"{role}_head must be given, for the {role}'s graph does not show whether it ends in "
            f"logits, which term {term.name!r} needs to know",
            expected=f"{role}_head='logits', 'softmax' or 'sigmoid'",
            received="None",
            mend=f"Pass {role}_head=, or build the {role} from keras.Input with a Dense layer at "
            "the end",
        )
    )
