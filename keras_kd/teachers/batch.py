"""A batch that carries the teacher's answers, and the student's reply to it.

Keras hands `x`, `y` and `sample_weight` from step to step, and nothing else, so the answers ride in
`x` under a reserved key, and the student's logits in `y_pred`. What Keras takes in the structure of
a model's outputs, a tensor, a list or a dict, is here looked up by the outputs' names.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd import _keras, _torch
from keras_kd._errors import message

_INPUT, _ANSWERS, _SHOWN = "keras_kd.input", "keras_kd.answers", "keras_kd.shown"
_EVALUATED = "keras_kd.evaluated"
_OUTPUT, _SIGNALS = "keras_kd.output", "keras_kd.signals"


def with_answers(x: Any, answers: dict[str, Any]) -> dict[str, Any]:
    """Returns `x` together with the teacher's logits by output name, and its signals."""
    return {_INPUT: x, _ANSWERS: answers}


def to_evaluate(x: Any, answers: dict[str, Any]) -> dict[str, Any]:
    """Returns `x` together with answers that are compared outside of training, too."""
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


def not_finite(answers: dict[str, Any]) -> Any:
    """Returns whether a number in the answers is NaN or infinite, `None` without answers."""
    if not answers:
        return None
    return ~ops.all(ops.stack([ops.all(ops.isfinite(answer)) for answer in answers.values()]))


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


def by_name(values: Any, names: Sequence[str]) -> dict[str, Any]:
    """Returns the values of the outputs by name; a single tensor belongs to all of them."""
    if not isinstance(values, (dict, list, tuple)):
        return dict.fromkeys(names, values)
    if len(names) == len(values) == 1:
        return dict(zip(names, keras.tree.flatten(values)))
    if isinstance(values, dict):
        return {name: values[name] for name in names if name in values}
    return dict(zip(names, values)) if len(values) == len(names) else {}


def replaced(values: Any, names: Sequence[str], new: dict[str, Any]) -> Any:
    """Returns the structure `values` with the values of some outputs replaced, by name."""
    if not isinstance(values, (dict, list, tuple)):
        return new.get(names[0], values)
    if isinstance(values, dict):
        keys = list(values) if len(names) == len(values) == 1 else names
        copy = values.copy()
        copy.update({key: new[name] for key, name in zip(keys, names) if name in new})
        return copy
    flat = [new.get(name, value) for name, value in zip(names, values)]
    # Those of a namedtuple are arguments.
    return type(values)(*flat) if hasattr(values, "_fields") else type(values)(flat)


def weights_like(output: Any, names: Sequence[str], sample_weight: Any) -> Any:
    """Returns sample weights that Keras' losses multiply as they are meant.

    Weights by output come back in the output's structure, `None` for those without. Weights by
    example get an axis for each axis of positions, which Keras would take for the last one.

    Raises:
        ValueError: If they name an output that is not there.
    """
    if sample_weight is None:
        return None
    outputs, given = by_name(output, names), by_name(sample_weight, names)
    nested = isinstance(sample_weight, (dict, list, tuple))
    if nested and len(given) != len(sample_weight):
        raise ValueError(
            message(
                "sample_weight must be given for all outputs at once, or by output",
                expected=f"a tensor, or a dict with keys among {list(names)}",
                received=keras.tree.map_structure(lambda w: tuple(w.shape), sample_weight),
                mend="Give each output its weights, by the output's name",
            )
        )
    fitted = {name: _by_position(given.get(name), len(outputs[name].shape) - 1) for name in names}
    return replaced(output, names, fitted)


def loss_weights(output: Any, names: Sequence[str], sample_weight: Any) -> Any:
    """Returns what `weights_like` gave, for Keras' losses to multiply by the output's masks."""
    if sample_weight is None:
        return None
    outputs, given = by_name(output, names), by_name(sample_weight, names)
    own = {name: _torch.weights(given[name], _keras.keras_mask(outputs[name])) for name in names}
    return replaced(output, names, own)


def joint_weights(names: Sequence[str], sample_weight: Any, alike: bool) -> Any:
    """Returns the weights of what belongs to no single output: the product of those by output.

    Args:
        names: The outputs' names.
        sample_weight: One tensor, or one by output.
        alike: Whether those by output are one tensor, repeated.
    """
    if not isinstance(sample_weight, (dict, list, tuple)):
        return sample_weight
    given = [w for w in by_name(sample_weight, names).values() if w is not None]
    if alike:
        return given[0]
    rank = max((len(weight.shape) for weight in given), default=0)
    product = None
    for weight in given:
        weight = at_rank(weight, rank)
        product = weight if product is None else product * ops.cast(weight, product.dtype)
    return product


def _by_position(weight: Any, rank: int) -> Any:
    return weight if weight is None or len(weight.shape) >= rank else at_rank(weight, rank)


def at_rank(weights: Any, rank: int) -> Any:
    """Returns weights or a mask with trailing axes of size 1 added, or dropped, to fit a rank."""
    weights = ops.convert_to_tensor(weights)
    while len(weights.shape) > rank and weights.shape[-1] == 1:
        weights = ops.squeeze(weights, axis=-1)
    while len(weights.shape) < rank:
        weights = ops.expand_dims(weights, axis=-1)
    return weights


def weights_of(values: Any, weights: Any, what: str, term: str) -> Any:
    """Returns weights or a mask at the rank of a term's values.

    Raises:
        ValueError: If they are for other axes than the values have.
    """
    rank = len(values.shape)
    fitting = at_rank(weights, rank)
    sizes = zip(fitting.shape, values.shape)
    if len(fitting.shape) <= rank and all(a in (1, None, b) or b is None for a, b in sizes):
        return fitting
    raise ValueError(
        message(
            f"{what} must fit term {term!r}, which gives one value per "
            f"{'example' if rank == 1 else 'position'}",
            expected=f"at most {rank} axes, of the sizes {tuple(values.shape)}",
            received=f"shape {tuple(fitting.shape)}",
            mend="Pass one weight per example; positions are left out by labels of -1",
        )
    )
