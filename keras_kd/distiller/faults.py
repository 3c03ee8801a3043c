"""What goes wrong inside of compiled steps, noted there and reported outside.

A compiled step cannot raise, so it notes the first batch that had a fault. `fit` reads the notes
after its first execution and at the end of every epoch, `evaluate` and the methods for single
batches at their end.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_kd._errors import refusal
from keras_kd.distiller.fault_reports import REPORTS

__all__ = ["Watch", "error_of", "faults_of", "not_finite", "signal_fault", "value_fault"]


def signal_fault(role: str, term: str) -> str:
    """Returns the kind of fault that a term's signal from the inside of a network may have."""
    return f"the {role}'s signal in term {term!r}"


def value_fault(term: str) -> str:
    """Returns the kind of fault that the value of a term on such signals may have."""
    return f"the value of term {term!r}"


def faults_of(terms: Sequence[Any]) -> list[str]:
    """Returns all kinds of faults that terms may have, causes before effects."""
    signals = [signal_fault(role, term.name) for term in terms for role in term.tapped()]
    return signals + [value_fault(term.name) for term in terms if term.tapped()]


def error_of(kind: str, received: str) -> Exception:
    """Returns the error of a fault that is not one of `faults_of`, with what was found."""
    report = REPORTS[kind]
    rest = {"expected": report["expected"], "received": received, "mend": report["mend"]}
    return refusal(report["what"], **rest)


def _report(kind: str) -> dict[str, str]:
    return {
        "what": f"{kind[0].upper()}{kind[1:]} must be finite",
        "expected": "finite numbers",
        "found": "NaN or Inf",
        "mend": "Look whether the batch itself is finite, then lower the learning rate or the "
        "term's weight, and let the projector compute in float32",
    }


def not_finite(signals: dict[str, Any]) -> Any:
    """Returns whether a number in the signals is NaN or infinite, `None` without any."""
    if not signals:
        return None
    return ~ops.all(ops.stack([ops.all(ops.isfinite(answer)) for answer in signals.values()]))


class Watch(keras.metrics.Metric):
    """Notes the first batch since the last reset that had a fault of each kind.

    It has no result, so the logs do not show it.

    Args:
        others: What to look for, too: `faults_of` the terms.

    Attributes:
        epoch: Number of the epoch under way, from 1, or `None`.
        respondents: The names of those who answer, where the teacher is several.
    """

    def __init__(self, others: Sequence[str] = ()):
        super().__init__(name="watch")
        self._reports = REPORTS | {kind: _report(kind) for kind in others}
        self._batches = self._counter("batches")
        self._first = {kind: self._counter(f"fault_{n}") for n, kind in enumerate(self._reports)}
        self._who = self._counter("who")
        self.respondents: list[str] = []
        self.epoch: int | None = None
        self._looks: Iterator[bool] = iter(())

    def _counter(self, name: str) -> keras.Variable:
        # All replicas of a strategy note the same.
        return self.add_variable(
            shape=(),
            initializer="zeros",
            dtype="float32",
            aggregation="only_first_replica",
            name=name,
        )

    def at_the_start(self) -> Any:
        """Returns whether no batch has been counted yet, a boolean scalar."""
        return self._batches + 0.0 == 0.0

    def update_state(self, **faults: Any) -> None:
        """Counts a batch, and notes its faults.

        Args:
            **faults: By kind, `labels`, `numbers`, `hard_loss`, `settings`, `temperatures`,
                `pairs`, `answers` or one of `faults_of`: a boolean scalar, of `answers` a vector
                with one for each respondent, or `None` where nobody looked.
        """
        batch = self._batches + 1
        self._batches.assign(batch)
        for kind, fault in faults.items():
            if fault is not None:
                first, fault = self._first[kind], _on_any_replica(fault)
                is_first = (first.value == 0) & ops.any(fault)
                first.assign(ops.where(is_first, batch, first.value))
                if kind == "answers":
                    who = ops.cast(ops.argmax(fault), self._who.dtype)
                    self._who.assign(ops.where(is_first, who, self._who.value))

    def result(self) -> dict[str, Any]:
        """Returns nothing to log."""
        return {}

    def save_own_variables(self, store: Any) -> None:
        """Saves nothing, because the notes are of the epoch under way."""

    def load_own_variables(self, store: Any) -> None:
        """Loads nothing, whatever an older version has saved."""

    def check(self, where: str = "", values: dict[int, Any] | None = None) -> None:
        """Raises if a fault was noted.

        Args:
            where: What the batches belong to, e.g. `" of epoch 2"`.
            values: Values of variables by their ids, where they are newer than the variables.

        Raises:
            ValueError: In the form of all messages, with the first batch that had the fault.
        """
        for kind, variable in self._first.items():
            first = _number(variable, values)
            # A loop of your own over `train_on_batch` may end in an example alone.
            if first and (kind != "pairs" or self.epoch is not None):
                report, who = self._reports[kind], ""
                if kind == "answers" and len(self.respondents) > 1:
                    who = f" from {self.respondents[_number(self._who, values)]!r}"
                raise refusal(
                    report["what"],
                    expected=report["expected"],
                    received=f"{report['found']}{who}, first in batch {first}{where} "
                    f"(index {first - 1})",
                    mend=report["mend"],
                )

    def finish(self, where: str = "") -> None:
        """Raises as `check` does, and forgets what was noted."""
        try:
            self.check(where)
        finally:
            self.reset_state()

    def check_epoch(self) -> None:
        """Raises as `check` does, where an epoch is under way."""
        if self.epoch is not None:
            self.check(f" of epoch {self.epoch}")

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Reads what the epoch under way has noted, which would be forgotten, then the evaluation.

        The epoch goes on counting its batches after it.
        """
        self.check_epoch()
        batches = 0.0 if self.epoch is None else ops.convert_to_numpy(self._batches.value)
        self.reset_state()
        yield
        self.finish(" of the evaluation")
        self._batches.assign(batches)

    def start(self) -> None:
        """Has the first step of what follows looked at before the second."""
        self._looks = iter((False, True))

    def checking_the_first_step(self, step: Callable, variables: Callable) -> Callable:
        """Wraps Keras' compiled training function, which is too late to stop once it has run.

        Args:
            step: The function.
            variables: Returns the variables whose values stand last in the state that JAX's `step`
                is given first.
        """

        def checked(*args: Any) -> Any:
            if next(self._looks, False):
                state = args[0][-1] if keras.backend.backend() == "jax" else ()
                self.check(" of the training data", dict(zip(map(id, variables()), state)))
            return step(*args)

        return checked

    def callbacks(self, given: Any, others: Sequence[keras.callbacks.Callback] = ()) -> Any:
        """Returns the callbacks of `fit` with one that reads the notes before any other acts.

        Next come those that have an `order`: they write into the logs that others read.

        Args:
            given: What `fit` was given: callbacks or a `CallbackList`.
            others: Callbacks that act next.
        """
        if isinstance(given, keras.callbacks.CallbackList):
            listed, given = given.callbacks, copy.copy(given)  # the caller's stays as it is
            given.callbacks = [_Reader(self), *others, *_writers_first(listed)]
            return given
        return [_Reader(self), *others, *_writers_first(keras.tree.flatten(given or []))]


def _writers_first(callbacks: Sequence[Any]) -> list[Any]:
    return sorted(callbacks, key=lambda each: getattr(each, "order", math.inf))


def _number(variable: keras.Variable, newer: dict[int, Any] | None) -> int:
    """Returns a variable's value as an integer, where it has no newer one by its id."""
    value = (newer or {}).get(id(variable))
    # The sum is a tensor where the variable is mirrored on replicas, too.
    return int(ops.convert_to_numpy((variable.value if value is None else value) + 0.0))


def _on_any_replica(fault: Any) -> Any:
    """Returns whether a boolean scalar is true on one of TensorFlow's replicas, the same on all."""
    if keras.backend.backend() != "tensorflow":
        return fault
    import tensorflow as tf

    context = tf.distribute.get_replica_context()  # none while Keras traces shapes only
    if context is None or context.num_replicas_in_sync == 1:
        return fault
    return context.all_reduce(tf.distribute.ReduceOp.SUM, ops.cast(fault, "float32")) > 0


class _Reader(keras.callbacks.Callback):
    """Reads the notes at the end of each epoch."""

    def __init__(self, watch: Watch):
        super().__init__()
        self._watch = watch

    def on_train_begin(self, logs: Any = None) -> None:
        self._watch.start()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._watch.epoch = epoch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        _ = self.model  # on JAX, brings the variables up to date
        self._watch.check_epoch()
