"""What `terms=` and `compile` were given, in the plain form and in the full one, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import check_number, check_type, refusal, wrong
from keras_kd.distiller import plain_temperature
from keras_kd.distiller.settings import STUDENT_POWER
from keras_kd.distiller.terms import keras_io
from keras_kd.distiller.terms.term import Term
from keras_kd.losses import FeatureLoss, SoftTargets
from keras_kd.networks.heads import Head
from keras_kd.teachers import batch

__all__ = [
    "Settings",
    "check_carries",
    "check_evaluable",
    "check_metrics",
    "check_nothing_compares",
    "check_pairs",
    "check_softens",
    "default_power",
    "free",
    "full_settings",
    "full_terms",
    "plain_settings",
    "require_labels",
    "taught",
]

_COLUMNS = ("loss", "hard_loss")


def full_terms(
    terms: Sequence[keras.losses.Loss | Term] | Any, heads: dict[str, Head]
) -> list[Term]:
    """Returns the given losses and Terms as Terms with names of their own, checked."""
    check_type(
        "terms",
        terms,
        (list, tuple),
        "be a list of losses or Terms",
        expected="e.g. [keras_kd.losses.SoftTargets(temperature=4.0)]",
        mend="Put one term into a list, too",
    )
    if not terms:
        mend = "Leave terms out for the plain form"
        raise wrong("terms", "hold at least one loss or Term", terms, mend=mend)
    terms = [term if isinstance(term, Term) else Term(term) for term in terms]
    taken: set[str] = {term.name for term in terms if term.is_named}
    for term in terms:
        _check_output(term, heads)
        if not term.is_named:
            _name_freely(term, taken)
    _check_names([term.name for term in terms])
    _check_projectors(terms)
    return terms


def _name_freely(term: Term, taken: set[str]) -> None:
    """Numbers the name of a Term that its loss has named, where another one has it already."""
    name, number = term.name, 1
    while name in taken:
        number += 1
        name = f"{term.name}_{number}"
    term.name, term.is_named = name, True
    taken.add(name)


def _check_output(term: Term, heads: dict[str, Head]) -> None:
    missing = term.output_name is None and term.needs_output and len(heads) > 1
    if missing or term.output_name not in (None, *heads):
        raise refusal(
            f"Term {term.name!r} must name an output of the student",
            expected=f"output= one of {list(heads)}" if len(heads) > 1 else "output=None",
            received=f"output={term.output_name!r}",
            mend=f"Pass Term(loss, output={next(iter(heads))!r})"
            if len(heads) > 1
            else "Leave output= out; the student has one output",
        )


def _check_names(names: list[str]) -> None:
    reserved = [name for name in names if name in _COLUMNS or name.startswith("val_")]
    if len(set(names)) < len(names) or reserved:
        raise refusal(
            "Each term must have a name of its own, because it names its column in the logs",
            expected=f"distinct names other than {_COLUMNS}, and without val_ in front",
            received=names,
            mend="Pass Term(loss, name=...)",
        )


def _check_projectors(terms: list[Term]) -> None:
    """Raises where a layer is in the projectors of two terms, which are saved one by one."""
    owners: dict[int, Term] = {}
    for term in terms:
        if not isinstance(term.projector, keras.layers.Layer):
            continue
        for layer in _keras.all_layers(term.projector):
            owner = owners.setdefault(id(layer), term)
            if owner is not term:
                raise refusal(
                    "Each term must have a projector of its own",
                    received=f"{layer.name!r} in both {owner.name!r} and {term.name!r}",
                    mend="Build a layer for each",
                )


def taught(terms: Sequence[Term], names: Sequence[str]) -> list[str]:
    """Returns the outputs of the student that learn from one of the teacher's."""
    return [*dict.fromkeys(term.output_of(names) for term in terms if term.teacher is None)]


def free(terms: Sequence[Term], names: Sequence[str]) -> set[str]:
    """Returns the outputs whose shapes are the business of terms on features or with projectors."""
    compared, others = set(), set()
    for term in terms:
        if term.needs_output:
            alike = term.on_outputs and term.projector is None
            alike = alike and not isinstance(term.loss, FeatureLoss)
            (compared if alike else others).add(term.output_of(names))
    return others - compared


def check_metrics(terms: list[Term], metrics: Any) -> None:
    """Raises where a metric would share its column in the logs with a term."""
    names = {getattr(metric, "name", metric) for metric in keras.tree.flatten(metrics)}
    taken = [term.name for term in terms if term.name in names]
    if taken:
        raise refusal(
            "Metrics and terms must have names of their own, for their columns in the logs",
            received=taken,
            mend="Pass Term(loss, name=...)",
        )


@dataclass(frozen=True)
class Settings:
    """What `compile` asks for.

    Attributes:
        hard_weight: The hard loss's weight; `None` for the one that suits the plain form's terms.
        temperature: Plain form: as `plain_temperature.checked` returns it.
        student_power: Plain form: how much of the temperature softens the student.
    """

    hard_weight: float | None
    temperature: plain_temperature.Temperature | None = None
    student_power: float = 1.0


def plain_settings(
    *, alpha: Any, temperature: Any, student_power: Any, hard_weight: Any, loss_fn: Any
) -> Settings:
    """Returns what `compile` asks for in the plain form, checked."""
    _check_unused("the plain form", "alpha", hard_weight=hard_weight)
    temperature = keras_io.temperature(loss_fn, temperature)
    if student_power is None:
        student_power = default_power(temperature) if loss_fn is None else 1.0
    return Settings(
        None if alpha is None else check_number("alpha", alpha, "from 0 to 1"),
        plain_temperature.checked(temperature),
        check_number("student_power", student_power, "from 0 to 1", 0.5),
    )


def default_power(temperature: Any) -> float:
    """Returns how much of a temperature softens the student, unless `compile` is told.

    A temperature that is given is a paper's, which softens both networks alike.
    """
    return STUDENT_POWER if temperature is None else 1.0


def check_softens(terms: list[Term], student_power: Any) -> None:
    """Raises where the student's own temperature is asked for, and no term has one."""
    if student_power is not None and not any(isinstance(t.loss, SoftTargets) for t in terms):
        raise wrong(
            "student_power",
            "be left out where no output's classes exclude each other",
            student_power,
            expected="None",
            mend="Leave it out",
        )


def full_settings(*, hard_weight: Any, loss_fn: Any, **of_the_plain_form: Any) -> Settings:
    """Returns what `compile` asks for beside terms, checked."""
    instead = "hard_weight, each Term's weight and temperature, and SoftTargets(student_power=)"
    of_the_plain_form["distillation_loss_fn"] = loss_fn
    _check_unused("a Distiller with terms", instead, **of_the_plain_form)
    weight = 1.0 if hard_weight is None else hard_weight
    return Settings(check_number("hard_weight", weight, "at least 0"))


def _check_unused(form: str, instead: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise wrong(
                name, f"not be given to {form}", value, expected="None", mend=f"Use {instead}"
            )


def check_evaluable(model: keras.Model, asks: bool) -> None:
    """Raises where there is nothing that an evaluation computes, unless it asks the teacher."""
    compared = model.loss is not None or _keras.has_metrics(model) or asks
    if model.compiled and not compared:
        raise refusal(
            "evaluate must have a loss or metrics to compute",
            received="a model compiled with neither",
            mend="Pass e.g. metrics=['accuracy'] to compile, or evaluate_terms=True",
        )


def check_nothing_compares(model: keras.Model) -> None:
    """Raises where a loss or metrics would compare labels that were not given."""
    if model.loss is not None or _keras.has_metrics(model):
        raise refusal(
            "y must hold labels for the loss and the metrics, beside sample_weight",
            received="None",
            mend="Pass y, or compile with loss=None and without metrics",
        )


def require_labels(y: Any) -> None:
    """Raises where a hard loss has no labels to compare with."""
    if y is None:
        mend = "Pass y, or compile with loss=None to train on the teacher alone"
        raise wrong("y", "hold labels for the loss", y, mend=mend)


def check_carries(y_pred: Any, training: bool) -> None:
    """Raises where a loss for training would leave out the terms."""
    if training and not batch.carries_signals(y_pred):
        raise refusal(
            "compute_loss must be called by train_step in training, which asks the teacher",
            expected="outputs together with the teacher's answers",
            received="the student's outputs alone",
            mend="Call distiller.train_step((x, y)) in your loop, or compute_loss(..., "
            "training=False) for the hard loss alone",
        )


def check_pairs(terms: Sequence[Term], batch_size: int | None) -> None:
    """Raises where a term compares the examples of a batch, and a batch has only one."""
    alone = [term.name for term in terms if getattr(term.loss, "needs_pairs", False)]
    if alone and batch_size == 1:
        raise refusal(
            f"Batches must have at least 2 examples for term {alone[0]!r}, which compares examples",
            expected="batches of some dozens",
            received="batches of 1",
            mend="Pass e.g. batch_size=64, or batch a dataset so",
        )
