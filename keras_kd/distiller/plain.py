"""The plain form: which soft targets suit each output, by what is certain of it."""

import contextlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import keras

from keras_kd._errors import message, refusal
from keras_kd.distiller.settings import ALPHA
from keras_kd.distiller.terms.accepted_losses import default_name
from keras_kd.distiller.terms.term import Term
from keras_kd.losses import MultiLabelSoftTargets, SoftTargets, stock
from keras_kd.networks.heads import Head

__all__ = ["PlainForm"]

_BY_HEAD = {"softmax": SoftTargets, "sigmoid": MultiLabelSoftTargets}
_BY_TARGET = {"class": SoftTargets, "labels": MultiLabelSoftTargets}
_NONE_YET: Mapping[str, Any] = MappingProxyType({})


class PlainForm:
    """The terms that a Distiller chooses itself, one per output, with one temperature for all.

    A term's loss follows the student's head, the teacher's head and the loss on the labels. The
    last is known in `compile` only, so the terms and their variables are made at once and take the
    loss that suits them whenever more is known.

    Args:
        heads: The student's heads by output name.

    Attributes:
        terms: All that there may be.
        student_power: How much of the temperature softens the student.
    """

    def __init__(self, heads: dict[str, Head]):
        self._heads = heads
        self._chosen: dict[str, type] = {}
        self._taught: dict[str, str | None] = {}
        self.student_power = 1.0
        self.terms: list[Term] = []
        for name, head in heads.items():
            output = name if len(heads) > 1 else None
            temperature = self.terms[0].temperature if self.terms else None
            loss = _BY_HEAD.get(head.kind, SoftTargets)()
            self.terms.append(Term(loss, weight=1.0, output=output, temperature=temperature))

    @property
    def columns(self) -> list[str]:
        """Names of all terms that there may be."""
        return [
            default_name(term.output_name, loss())
            for term in self.terms
            for loss in _BY_HEAD.values()
        ]

    @property
    def known(self) -> list[str]:
        """Names of the outputs that show what they are, of which there are terms at most."""
        return [name for name, head in self._heads.items() if not _is_open(head)]

    @property
    def softens(self) -> bool:
        """Whether there are outputs whose classes exclude each other."""
        return SoftTargets in self._chosen.values()

    def alpha(self, losses: Mapping[str, Any]) -> float:
        """Returns the default weight of the hard loss.

        Keras' binary losses are a mean over the labels, the soft targets of these a sum: where all
        outputs are such, it weighs both alike.

        Args:
            losses: As in `follow`.
        """
        means = [
            self._heads[name].classes
            for name, loss in self._chosen.items()
            if loss is MultiLabelSoftTargets and stock.is_binary(losses.get(name))
        ]
        if not means or len(means) < len(self._chosen) or None in means:
            return ALPHA
        labels = sum(means) / len(means)
        return labels / (labels + 1)

    def guessed(self, losses: Mapping[str, Any], stated: Any) -> set[str]:
        """Returns the names of the outputs of which nothing certain says that they are classes.

        Args:
            losses: As in `follow`.
            stated: What the user has said of the student's heads: one for all, or by name.
        """
        said = {} if stated is None else stated if isinstance(stated, dict) else self._heads
        return {
            name
            for name, loss in self._chosen.items()
            if loss is SoftTargets
            and name not in said
            and self._heads[name].kind == "logits"
            and self._taught.get(name) in (None, "logits")
            and losses.get(name) is not None
            and stock.name_of(losses[name]) is None
        }

    def follow(
        self, taught: dict[str, str | None], losses: Mapping[str, Any] = _NONE_YET
    ) -> list[Term]:
        """Returns the terms that suit the heads and the losses on the labels.

        Args:
            taught: What the teacher's outputs are, by the student's output names.
            losses: The losses on the labels by output name. An output that has none gets no term,
                unless all have none.

        Raises:
            ValueError: If they contradict each other, or leave open what an output is.
        """
        self._taught = taught
        return self._take(self._choose(taught, losses))

    @contextlib.contextmanager
    def following(
        self, taught: dict[str, str | None], losses: Mapping[str, Any], student_power: float
    ) -> Iterator[list[Term]]:
        """Gives the terms that `follow` returns; they are as before if what follows fails.

        Args:
            taught: As in `follow`.
            losses: As in `follow`.
            student_power: That of `SoftTargets`, from now on.
        """
        last = self._chosen, self._taught, self.student_power
        self.student_power = student_power
        try:
            yield self.follow(taught, losses)
        except BaseException:
            chosen, self._taught, self.student_power = last
            self._take(chosen)
            raise

    def _take(self, chosen: dict[str, type]) -> list[Term]:
        self._chosen = chosen
        named = dict(zip(self._heads, self.terms))
        for name, loss in chosen.items():
            power = {"student_power": self.student_power} if loss is SoftTargets else {}
            named[name].compare_by(loss(**power))
        return [named[name] for name in chosen]

    def begin(self, taught: dict[str, str | None]) -> list[Term]:
        """Returns the terms as far as the heads tell, before there is a loss.

        Raises:
            ValueError: If they contradict each other, or no output shows what it is.
        """
        try:
            return self.follow(taught)
        except ValueError:
            if not self.known or len(self.known) == len(self._heads):
                raise
            # The others may turn out to have no loss, and so no term.
            return self.follow(taught, dict.fromkeys(self.known, _unknown))

    def check_taught(self, taught: dict[str, str | None], losses: Mapping[str, Any]) -> None:
        """Raises where the terms of a compiled Distiller do not suit another teacher."""
        if self._choose(taught, losses) != self._chosen:
            raise refusal(
                "teacher must have outputs like those that the plain form chose its terms for",
                expected=f"{ {name: term.__name__ for name, term in self._chosen.items()} }",
                received=f"a teacher that gives {taught}",
                mend="Build a new Distiller with this teacher",
            )

    def _choose(self, taught: dict[str, str | None], losses: Mapping[str, Any]) -> dict[str, type]:
        compared = [name for name, loss in losses.items() if loss is not None]
        several = len(self._heads) > 1
        return {
            name: _loss_for(name, head, taught.get(name), losses.get(name), several)
            for name, head in self._heads.items()
            if name in compared or not compared
        }


def _unknown(y_true: Any, y_pred: Any) -> Any:
    """Stands for a loss that will be given later."""


def _is_open(head: Head) -> bool:
    """Whether a head leaves open what it is: unknown, or one linear unit."""
    return head.kind is None or (head.kind == "logits" and head.classes == 1)


def _loss_for(
    name: str, head: Head, taught: str | None, loss: Any, several: bool
) -> type[keras.losses.Loss]:
    """Returns the soft targets that follow what is certain of an output."""
    target = stock.target_of(loss)
    if target == "number" and head.kind == "logits":
        raise ValueError(_regression(name, loss, several))
    if _is_open(head):
        raise ValueError(_open(name, head, several))
    if head.kind == "softmax":
        return SoftTargets
    if head.kind == "sigmoid":
        if taught in (None, "logits") and target in ("class", "number"):
            raise ValueError(_contradiction(name, head, taught, loss, several))
        return MultiLabelSoftTargets
    by_head, by_target = _BY_HEAD.get(taught), _BY_TARGET.get(target)
    told = {each for each in (by_head, by_target) if each is not None}
    if len(told) > 1 or (target == "score" and not told):
        raise ValueError(_contradiction(name, head, taught, loss, several))
    return told.pop() if told else SoftTargets


def _terms(loss: str, name: str, several: bool) -> str:
    """Returns the argument that asks for a loss."""
    if not several:
        return f"terms=[{loss}]"
    return f"terms=[keras_kd.Term({loss}, output={name!r}), ...], with a Term for each output"


def _open(name: str, head: Head, several: bool) -> str:
    found = f"one unit ({head.kind})" if head.kind else "no known head"
    mend = f"Say what to distil, e.g. {_terms('keras.losses.MeanSquaredError()', name, several)}"
    if head.kind is None:
        mend += ", or what the student gives with student_head='logits', 'softmax' or 'sigmoid'"
    else:
        mend += ", or keras_kd.losses.MultiLabelSoftTargets() where the unit is a yes or no"
    return message(
        f"The plain form must know which soft targets suit the student's output {name!r}",
        expected="a softmax, a sigmoid, or a linear layer of at least 2 units at the end",
        received=found,
        mend=mend,
    )


def _regression(name: str, loss: Any, several: bool) -> str:
    return message(
        f"The plain form must have classes to soften at the student's output {name!r}",
        expected="a loss between labels and classes",
        received=f"{stock.label(loss)}, a loss between numbers, on linear units",
        mend=f"Say what to distil: {_terms('keras.losses.MeanSquaredError()', name, several)}",
    )


def _contradiction(name: str, head: Head, taught: str | None, loss: Any, several: bool) -> str:
    units = "linear units" if head.kind == "logits" else f"a {head.kind}"
    teacher = {"logits": "linear units", None: "an unknown head"}.get(taught, f"a {taught}")
    terms = " or ".join(f"keras_kd.losses.{each.__name__}()" for each in _BY_HEAD.values())
    return message(
        f"The plain form must not guess what the student's output {name!r} is",
        expected="heads and a loss that agree whether the classes exclude each other",
        received=f"{units} of the student, {teacher} of the teacher, and "
        f"{stock.label(loss)} on the labels",
        mend=f"Say what to distil: {_terms(terms, name, several)}",
    )
