"""The loss on the labels: does it agree with what the student's heads give?"""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import message
from keras_kd.losses import stock
from keras_kd.networks.heads import Head
from keras_kd.teachers import batch


def check(loss: Any, heads: dict[str, Head]) -> None:
    """Raises where a loss takes probabilities for logits or logits for probabilities.

    Args:
        loss: What `compile(loss=)` was given: one loss, or a list or dict by output.
        heads: The student's heads by output name.

    Raises:
        ValueError: If a head and its loss's `from_logits` contradict each other.
    """
    for name, single in by_output(loss, list(heads)):
        head = heads[name]
        from_logits = _from_logits(single)
        known = from_logits is not None and head.kind is not None
        if known and from_logits != (head.kind == "logits"):
            raise ValueError(_disagreement(name, head, single, from_logits))


def by_output(loss: Any, names: list[str]) -> list[tuple[str, Any]]:
    """Returns the loss of each output, from one for all or a list or dict of them."""
    if isinstance(loss, dict) and set(loss) <= set(names):
        return list(loss.items())
    flat = keras.tree.flatten(loss)
    if len(flat) == len(names):
        return list(zip(names, flat))
    return [(name, loss) for name in names] if len(flat) == 1 else []


def outputs(loss: Any, names: list[str]) -> list[str]:
    """Returns the names of the outputs that a loss compares with labels."""
    return [name for name, single in by_output(loss, names) if single is not None] or names


class ByExample:
    """Which losses of the user's own give each example its value, as a missing label needs.

    A value for the whole batch has been made with the missing labels, too. It shows when the loss
    is called, so the calls are watched.

    Args:
        model: A model that has just been compiled.
        own: The outputs with losses of the user's own.
        names: The names of all outputs.
    """

    def __init__(self, model: keras.Model, own: list[str], names: list[str]):
        self._names = own
        self._seen: set[str] = set()
        if own:
            _keras.replace_losses(model, lambda losses: self._watched_in(losses, names))

    def others(self) -> list[str]:
        """Returns the outputs whose losses have not been seen to give each example its value."""
        return [name for name in self._names if name not in self._seen]

    def _watched_in(self, losses: Any, names: list[str]) -> Any:
        given = dict(by_output(losses, names))
        watched = {
            name: self._watched(given[name], {n for n in names if given.get(n) is given[name]})
            for name in self._names
        }
        return batch.replaced(losses, names, watched)

    def _watched(self, loss: Any, names: set[str]) -> Any:
        loss = keras.losses.get(loss)
        original = loss.call if isinstance(loss, keras.losses.Loss) else loss

        def call(y_true: Any, y_pred: Any) -> Any:
            values = original(y_true, y_pred)
            if len(values.shape) > 0 and values.shape[0] in (None, y_pred.shape[0]):
                self._seen |= names
            return values

        return _with_call(loss, call)


def _with_call(loss: Any, call: Callable) -> Any:
    if not isinstance(loss, keras.losses.Loss):
        return functools.wraps(loss)(call)
    twin = _keras.shallow_copy(loss)
    twin.call = call
    return twin


def _from_logits(loss: Any) -> bool | None:
    """Returns what the loss expects, `None` for losses that take any output."""
    if isinstance(loss, functools.partial):
        return loss.keywords.get("from_logits", _from_logits(loss.func))
    if stock.name_of(loss) is None:
        return None
    if isinstance(loss, type):
        loss = loss()
    return isinstance(loss, keras.losses.Loss) and bool(loss.get_config().get("from_logits"))


def _disagreement(name: str, head: Head, loss: Any, from_logits: bool) -> str:
    want = head.kind == "logits"
    return message(
        f"loss must agree with the student's head at {name!r}, which gives "
        f"{'logits' if want else head.kind + ' probabilities'}",
        expected=f"a loss with from_logits={want}",
        received=f"{stock.label(loss)} with from_logits={from_logits}",
        mend=f"Pass the loss as an object with from_logits={want}, or say what the student gives "
        "with student_head=",
    )
