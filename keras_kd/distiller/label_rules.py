"""How the labels of each output are read, by its loss, its head and what is distilled of it."""

import functools
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd.distiller.terms.term import Term
from keras_kd.losses import DistillationLoss
from keras_kd.losses import stock as stock_losses
from keras_kd.networks.heads import Head

__all__ = ["Rule", "rules"]


@dataclass(frozen=True)
class Rule:
    """How the labels of one output are read.

    Attributes:
        binary: Whether each is a number from 0 to 1; else they are ids, from 0 to the output's last
            axis, or rows with a share for each class.
        floats: Whether floats are ids, too, as Keras' sparse losses take them.
        shares: Whether rows with a share for each class are labels, as Keras' categorical losses
            take them.
        ignored: The id that the loss leaves out (`ignore_class`), or `None`.
        own: Whether a loss of the user's own compares them: other ids are its business.
        own_rows: Whether rows of that loss miss where they are -1 in each place, which is nothing
            else where classes exclude each other.
        guessed: Whether that there are classes is a guess of the plain form, which numbers beyond 1
            or between ids show to be wrong.
    """

    binary: bool = False
    floats: bool = False
    shares: bool = False
    ignored: int | None = None
    own: bool = False
    own_rows: bool = False
    guessed: bool = False

    @property
    def fault(self) -> str:
        """The kind of fault that its wrong labels are."""
        return "numbers" if self.guessed else "labels"


def rules(
    losses: dict[str, Any],
    heads: dict[str, Head],
    terms: Iterable[Term],
    guessed: Collection[str] = (),
) -> dict[str, Rule]:
    """Returns the `Rule`s by name of the outputs that sort into classes.

    An output does if its loss is one of Keras' between labels and probabilities. Under another
    loss or none, it does if it ends in a softmax or a term of `keras_kd.losses` compares its
    logits. Other integers are numbers.

    Args:
        losses: The losses on the labels by output name, `None` for outputs without.
        heads: The student's heads by output name.
        terms: The Distiller's terms.
        guessed: The names of the outputs of which it has guessed that they are classes.
    """
    compared = {
        term.output_name or next(iter(heads))
        for term in terms
        if isinstance(term.loss, DistillationLoss) and term.on_outputs
    }
    exclusive = {
        term.output_of(list(heads))
        for term in terms
        if term.on_outputs and getattr(term.loss, "shift_invariant", False)
    }
    found = {}
    for name, head in heads.items():
        single = losses.get(name)
        stock = stock_losses.name_of(single)
        # Without a loss, labels are compared by metrics alone.
        alone = head.kind if single is None else None
        binary = stock_losses.is_binary(single) or alone == "sigmoid"
        binary = binary or (stock is not None and head.classes == 1)
        floats = stock in stock_losses.SPARSE or alone == "softmax"
        own = single is not None and stock is None
        sorts = head.kind == "softmax" or name in compared
        # What a loss of the user's own makes of positions is not known.
        if binary or floats or (sorts and (not own or len(head.shape or ()) == 2)):
            shares = stock not in (None, stock_losses.SPARSE[0]) and not binary
            shares = shares or alone == "softmax"
            found[name] = Rule(
                binary=binary,
                floats=floats,
                shares=shares,
                ignored=_option(single, "ignore_class"),
                own=own,
                own_rows=own and (head.kind == "softmax" or name in exclusive),
                guessed=name in guessed,
            )
    return found


def _option(loss: Any, name: str) -> Any:
    if isinstance(loss, functools.partial):
        return loss.keywords.get(name)
    return loss.get_config().get(name) if isinstance(loss, keras.losses.Loss) else None
