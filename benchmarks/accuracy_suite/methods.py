"""Methods: how a student learns, the same budget for all."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from accuracy_suite.definitions import digest
from accuracy_suite.tasks import Task
from keras_kd import Term, losses
from keras_kd.distiller import settings
from keras_kd.distiller.auto_temperature import CONFIDENCE


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to train a student.

    Attributes:
        name: Its name.
        alpha: Plain form: weight of the labels.
        temperature: Plain form: a number, or a mean confidence below 1 that the teacher's answers
            are softened to.
        student_power: Plain form: how much of the temperature softens the student.
        by_default: Whether `compile` is left to its defaults: the plain form's own choice.
        terms: Full form: returns the terms.
        hard_weight: Full form: weight of the labels.
        peer: `keras.distillation`: `"default"`, or `"mended"` with its loss passed as an object.
        views: Whether the images or texts change from epoch to epoch.
        ensemble: Whether three teachers answer.
        kinds: The tasks that it is for.
        tier: 0 is trained first.
    """

    name: str
    alpha: float | None = None
    temperature: float | None = None
    student_power: float = 1.0
    by_default: bool = False
    terms: Callable[[], list[Any]] | None = None
    hard_weight: float = 1.0
    peer: str | None = None
    views: bool = False
    ensemble: bool = False
    kinds: tuple[str, ...] = ("classes",)
    tier: int = 1

    @property
    def baseline(self) -> str:
        """The name of the student alone that it is compared with."""
        return "views, alone" if self.views else "alone"

    @property
    def is_alone(self) -> bool:
        """Whether nobody teaches."""
        taught = self.by_default or self.peer or self.terms
        return not taught and self.alpha is None

    def suits(self, task: Task) -> bool:
        """Whether it can train a task's student."""
        return task.kind in self.kinds and (task.augment is not None or not self.views)

    def definition(self, task: Task) -> str:
        """Returns a hash of a method's settings and its task, not of `cells.py` and the library."""
        aside = ("name", "terms", "kinds", "tier")  # what does not say how it learns
        fields = [each for each in dataclasses.fields(self) if each.name not in aside]
        given = {each.name: getattr(self, each.name) for each in fields}
        # So that another field changes no definition of what does not use it.
        given = {each.name: given[each.name] for each in fields if given[each.name] != each.default}
        if self.by_default:
            given["defaults"] = settings.ALPHA, CONFIDENCE, settings.STUDENT_POWER
        terms = [_described(term) for term in self.terms()] if self.terms else None
        return digest(given, terms, task.definition)


def _described(term: Any) -> str:
    term = term if isinstance(term, Term) else Term(term)
    return f"{float(term.weight):g} {term.loss.get_config()}"


def _term(loss: Callable[[], Any], weight: float | None = None) -> Callable[[], list[Any]]:
    return lambda: [Term(loss(), weight=weight)]


def _standardized() -> keras.losses.Loss:
    return losses.SoftTargets(temperature=2.0, standardize=True)


def _plain(alpha: float, temperature: float, tier: int = 1, student_power: float = 1.0) -> Method:
    kind = "confidence" if temperature < 1 else "T"
    name = f"alpha {alpha:g}, {kind} {temperature:g}"
    name += f", student {student_power:g}" * (student_power != 1)
    return Method(name, alpha, temperature, student_power=student_power, kinds=_TAUGHT, tier=tier)


def _views(method: Method) -> Method:
    return dataclasses.replace(method, name=f"views, {method.name}", views=True, tier=3)


_TAUGHT = ("classes", "labels")
_ALONE = Method("alone", kinds=("classes", "labels", "numbers"), tier=0)
_DEFAULT = Method("default", by_default=True, kinds=_TAUGHT, tier=0)
_DIST = Method("dist, weight 2", terms=_term(losses.DIST))
METHODS = [
    _ALONE,
    _DEFAULT,
    _plain(0.1, 4.0, tier=0),
    _plain(0.5, 0.8),
    _plain(0.5, 4.0),
    _plain(0.5, 2.0),
    _plain(0.7, 0.8),
    _plain(0.5, 0.9),
    _plain(0.5, 1.0),
    _DIST,
    _plain(0.5, 0.8, tier=2, student_power=0.5),
    _plain(0.7, 0.8, tier=2, student_power=0.5),
    _plain(0.0, 0.8, tier=2, student_power=0.5),
    _plain(0.9, 0.8, tier=2),
    _plain(0.7, 2.0, tier=2),
    _plain(0.3, 0.8, tier=2),
    _plain(0.8, 0.8, tier=2),
    _plain(0.5, 0.7, tier=2),
    dataclasses.replace(_DIST, name="dist, weight 1", terms=_term(losses.DIST, 1.0), tier=2),
    Method("standardized, weight 9", terms=_term(_standardized, 9.0), tier=2),
    Method("standardized, weight 1", terms=_term(_standardized, 1.0), tier=2),
    Method("dkd, beta 8", terms=_term(losses.DecoupledKD), tier=2),
    Method(
        "dkd, beta 1, weight 0.5",
        terms=_term(lambda: losses.DecoupledKD(beta=1.0, temperature=2.0), 0.5),
        tier=2,
    ),
    Method("nkd, weight 1", terms=_term(losses.NKD), tier=2),
    Method("nkd, weight 0.3", terms=_term(losses.NKD, 0.3), tier=2),
    Method(
        "squared error",
        terms=_term(keras.losses.MeanSquaredError, 0.5),
        hard_weight=0.5,
        kinds=("numbers",),
        tier=0,
    ),
    Method(
        "squared error, labels 0.1",
        terms=_term(keras.losses.MeanSquaredError, 0.9),
        hard_weight=0.1,
        kinds=("numbers",),
        tier=0,
    ),
    _views(_ALONE),
    _views(_DEFAULT),
    _views(_plain(0.5, 0.8)),
    _views(_plain(0.5, 2.0)),
    _views(_DIST),
    Method("keras.distillation, default", peer="default", tier=3),
    Method("keras.distillation, mended", peer="mended", tier=3),
    dataclasses.replace(_DEFAULT, name="ensemble of three", ensemble=True, tier=3),
]
