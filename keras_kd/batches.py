"""A batch that carries the teacher's answers, and the student's reply to it.

Keras hands `x`, `y` and `sample_weight` from step to step, and nothing else, so the answers ride in
`x` under a reserved key, and the student's logits in `y_pred`.
"""

from typing import Any

_INPUT, _ANSWERS = "keras_kd.input", "keras_kd.answers"
_OUTPUT, _SIGNALS = "keras_kd.output", "keras_kd.signals"


def with_answers(x: Any, answers: dict[str, Any]) -> dict[str, Any]:
    """Returns `x` together with the teacher's logits by output name."""
    return {_INPUT: x, _ANSWERS: answers}


def carries_answers(x: Any) -> bool:
    """Whether `x` comes from `with_answers`."""
    return isinstance(x, dict) and _ANSWERS in x


def inputs(x: Any) -> Any:
    """Returns the model's input, with or without answers around it."""
    return x[_INPUT] if carries_answers(x) else x


def answers(x: Any) -> dict[str, Any]:
    """Returns the teacher's logits by output name."""
    return x[_ANSWERS]


def with_signals(output: Any, signals: dict[str, Any]) -> dict[str, Any]:
    """Returns the student's output together with its logits by output name."""
    return {_OUTPUT: output, _SIGNALS: signals}


def carries_signals(y_pred: Any) -> bool:
    """Whether `y_pred` comes from `with_signals`."""
    return isinstance(y_pred, dict) and _SIGNALS in y_pred


def output(y_pred: Any) -> Any:
    """Returns the student's output, with or without signals around it."""
    return y_pred[_OUTPUT] if carries_signals(y_pred) else y_pred


def signals(y_pred: Any) -> dict[str, Any]:
    """Returns the student's logits by output name."""
    return y_pred[_SIGNALS]


def weight_of(sample_weight: Any, name: str, names: list[str]) -> Any:
    """Returns the sample weights of the output `name`, given per output or for all."""
    if isinstance(sample_weight, dict):
        return sample_weight.get(name)
    if isinstance(sample_weight, (list, tuple)):
        return sample_weight[names.index(name)]
    return sample_weight
