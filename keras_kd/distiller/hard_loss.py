"""The loss on the labels: does it agree with what the student's heads give?"""

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_kd._errors import message
from keras_kd.losses import stock
from keras_kd.networks.heads import Head

__all__ = ["HardLoss", "by_output", "gives_each_its_value", "read"]


@dataclass(frozen=True)
class HardLoss:
    """What `compile(loss=)` asks for, read once.

    Attributes:
        names: The names of the student's outputs.
        by_output: The loss of each by name, `None` for those that have none; empty where there are
            more or fewer losses than outputs.
        is_given: Whether there is a loss.
    """

    names: list[str]
    by_output: dict[str, Any]
    is_given: bool

    @property
    def compared(self) -> list[str]:
        """The names of the outputs that are compared with labels; of all where that is open."""
        return [n for n, loss in self.by_output.items() if loss is not None] or self.names


def read(loss: Any, heads: dict[str, Head]) -> HardLoss:
    """Returns what a loss asks for.

    Args:
        loss: What `compile(loss=)` was given: one loss, or a list or dict by output.
        heads: The student's heads by output name.

    Raises:
        ValueError: If a head and its loss's `from_logits` contradict each other.
    """
    given = HardLoss(list(heads), by_output(loss, list(heads)), loss is not None)
    for name, single in given.by_output.items():
        head = heads[name]
        from_logits = _from_logits(single)
        known = from_logits is not None and head.kind is not None
        if known and from_logits != (head.kind == "logits"):
            raise ValueError(_disagreement(name, head, single, from_logits))
    return given


def by_output(loss: Any, names: list[str]) -> dict[str, Any]:
    """Returns the loss of each output, from one for all or a list or dict of them."""
    if isinstance(loss, dict) and set(loss) <= set(names):
        return loss
    flat = keras.tree.flatten(loss)
    if len(flat) == len(names):
        return dict(zip(names, flat))
    return dict.fromkeys(names, loss) if len(flat) == 1 else {}


def gives_each_its_value(loss: Any, shape: tuple[int | None, ...] | None) -> bool:
    """Whether a loss of the user's own gives one value per example, as a missing label needs.

    It is called on zeros: a value for the whole batch would be made with the missing labels, too.

    Args:
        loss: A function or a `keras.losses.Loss`.
        shape: The output's shape, `(batch, ..., classes)`.
    """
    if shape is None:
        return False
    sizes = [size or 2 for size in shape[1:]]
    batch = next(size for size in itertools.count(2) if size not in sizes)
    call = loss.call if isinstance(loss, keras.losses.Loss) else loss
    output = ops.zeros((batch, *sizes))
    ids = ((batch, *sizes[:-1]), "int32"), ((batch, *sizes[:-1], 1), "int32")
    for labels, dtype in (*ids, (output.shape, "float32")):
        try:
            values = ops.convert_to_tensor(call(ops.zeros(labels, dtype), output))
        except Exception:  # the user's code may want labels of one kind alone
            continue
        if len(values.shape) > 0 and values.shape[0] == batch:
            return True
    return False


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
