"""What a Distiller says of itself: one line for `repr`, a page for `summary`."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras

from keras_kd import _text
from keras_kd.distiller.terms.term import Term
from keras_kd.losses import stock
from keras_kd.teachers.teacher import Teacher

if TYPE_CHECKING:
    from keras_kd.distiller.distiller import Distiller

__all__ = ["line", "summary", "value"]


def line(distiller: "Distiller", teacher: Teacher) -> str:
    """Returns teacher, student and terms in one line."""
    terms = ", ".join(f"{weight} {term.name}" for term, weight in _weighted(distiller))
    return (
        f"<Distiller name={distiller.name}, student={distiller.student.name}, "
        f"teacher={teacher.name}, "
        f"loss={_hard_weight(distiller)} hard_loss + {terms}>"
    )


def summary(
    distiller: "Distiller", teacher: Teacher, *args: Any, print_fn: Any = print, **kwargs: Any
) -> None:
    """Prints the page, then the student's own summary."""
    rows = _text.pairs((f"  {name}", text) for name, text in _rows(distiller, teacher))
    print_fn(f'Distiller: "{distiller.name}"\n{rows}')
    kwargs = kwargs if print_fn is print else {**kwargs, "print_fn": print_fn}
    distiller.student.summary(*args, **kwargs)


def _rows(distiller: "Distiller", teacher: Teacher) -> Iterable[tuple[str, str]]:
    student = distiller.student
    trained = _count(student.trainable_variables)
    yield "teacher", teacher.described()
    if distiller.compiled:
        yield "hard loss", f"{_hard_weight(distiller)} · {_hard_loss(distiller)}"
    temperature = distiller.plain_temperature
    if temperature.automatic:
        yield "temperature", temperature.described(distiller.terms)
    for term, weight in _weighted(distiller):
        yield f"term {term.name}", f"{weight} · {_term(term)}"
        if term.projector is not None:
            yield (
                "  projector",
                f"{type(term.projector).__name__}, {term.projector.count_params():,} parameters, "
                "trained and saved, not exported",
            )
    yield (
        "trained",
        f"{student.name}, {trained:,} of {student.count_params():,} parameters of the student",
    )
    yield "saved", "student, terms, optimizer"
    yield "exported", f"{student.name} alone"


def _weighted(distiller: "Distiller") -> list[tuple[Term, str]]:
    share = 1.0 - value(distiller.hard_weight) if distiller.is_plain else 1.0
    share *= distiller.distils  # 0 once `EndDistillation` has ended them
    return [(term, _number(share * value(term.weight))) for term in distiller.terms]


def _hard_weight(distiller: "Distiller") -> str:
    return _number(distiller.hard_weight if distiller.distils else 1.0)


def _hard_loss(distiller: "Distiller") -> str:
    loss = distiller.loss
    if loss is None:
        return "none, because no loss was given"
    if isinstance(loss, dict):
        return repr({name: stock.label(single) for name, single in loss.items()})
    if isinstance(loss, (list, tuple)):
        return repr([stock.label(single) for single in loss])
    return stock.label(loss)


def _term(term: Term) -> str:
    config = term.loss.get_config()
    options = [
        f"{name}={_option(value)}"
        for name, value in config.items()
        if name not in ("name", "reduction", "dtype")
    ]
    where = f" on {term.output_name}" if term.output_name else ""
    if not term.on_outputs:
        where = f" from {term.student or 'output'} to {term.teacher or 'output'}{where}"
    return f"{type(term.loss).__name__}({', '.join(options)}){where}"


def _option(value: Any) -> str:
    if isinstance(value, float):
        return "auto" if math.isnan(value) else f"{value:g}"  # a temperature still to be found
    return str(value)


def _count(variables: list[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def value(variable: keras.Variable | float) -> float:
    """Returns the number in a variable, a mirrored one included."""
    return float(keras.ops.convert_to_numpy(variable))


def _number(number: Any) -> str:
    return f"{value(number):.4g}"
