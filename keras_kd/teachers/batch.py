"""A batch that carries the teacher's answers, and the student's reply to it.

Keras hands `x`, `y` and `sample_weight` from step to step, and nothing else, so the answers ride in
`x` under a reserved key, and the student's logits in `y_pred`.
"""

from typing import Any

__all__ = [
    "answers",
    "carries_answers",
    "carries_signals",
    "inputs",
    "is_to_evaluate",
    "keep_labels",
    "kept_labels",
    "output",
    "signals",
    "teacher_input",
    "to_evaluate",
    "with_answers",
    "with_signals",
    "with_teacher_input",
]

_INPUT, _ANSWERS, _SHOWN = "keras_kd.input", "keras_kd.answers", "keras_kd.shown"
_EVALUATED = "keras_kd.evaluated"
_OUTPUT, _SIGNALS = "keras_kd.output", "keras_kd.signals"
_LABELS = "keras_kd.labels"


def with_answers(x: Any, answers: dict[str, Any]) -> dict[str, Any]:
    """Returns `x` together with the teacher's logits by output name, and its signals."""
    return {_INPUT: x, _ANSWERS: answers}


def to_evaluate(x: Any, answers: dict[str, Any]) -> dict[str, Any]:
    """Returns `x` of an evaluation, together with answers that are compared in it, if any."""
    return {_INPUT: x, _EVALUATED: answers}


def carries_answers(x: Any) -> bool:
    """Whether `x` comes from `with_answers`."""
    return isinstance(x, dict) and _ANSWERS in x


def is_to_evaluate(x: Any) -> bool:
    """Whether `x` comes from `to_evaluate`."""
    return isinstance(x, dict) and _EVALUATED in x


def inputs(x: Any) -> Any:
    """Returns the student's input, with or without something around it."""
    return x[_INPUT] if isinstance(x, dict) and _INPUT in x else x


def with_teacher_input(x: Any, shown: Any) -> dict[str, Any]:
    """Returns `x` together with what the teacher is shown in its place."""
    return {_INPUT: x, _SHOWN: shown}


def teacher_input(x: Any) -> Any:
    """Returns what the teacher is shown: the student's input, unless `x` carries another."""
    return x[_SHOWN] if isinstance(x, dict) and _SHOWN in x else x


def answers(x: Any) -> dict[str, Any]:
    """Returns the teacher's logits by output name, and its signals."""
    return x[_EVALUATED if is_to_evaluate(x) else _ANSWERS]


def with_signals(output: Any, signals: dict[str, Any]) -> dict[str, Any]:
    """Returns the student's output together with its logits by output name, and its signals."""
    return {_OUTPUT: output, _SIGNALS: signals}


def carries_signals(y_pred: Any) -> bool:
    """Whether `y_pred` comes from `with_signals`."""
    return isinstance(y_pred, dict) and _SIGNALS in y_pred


def output(y_pred: Any) -> Any:
    """Returns the student's output, with or without signals around it."""
    return y_pred[_OUTPUT] if carries_signals(y_pred) else y_pred


def signals(y_pred: Any) -> dict[str, Any]:
    """Returns the student's logits by output name, and its signals."""
    return y_pred[_SIGNALS]


def keep_labels(y_pred: Any, labels: Any) -> None:
    """Lays the labels of a batch, once they are sorted out, beside the student's output."""
    if carries_signals(y_pred):
        y_pred[_LABELS] = labels


def kept_labels(y_pred: Any) -> Any:
    """Returns what `keep_labels` was given, or `None`."""
    return y_pred.get(_LABELS) if carries_signals(y_pred) else None
