"""What is live in a Distiller, moved while it trains: alpha, temperatures and weights."""

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_kd._errors import check_choice, check_number, message, refusal, wrong
from keras_kd.callbacks.monitoring import check_distils, closest
from keras_kd.callbacks.shapes import Shape
from keras_kd.distiller.distiller import Distiller

__all__ = ["Schedule"]


class Schedule(keras.callbacks.Callback):
    """Assigns a Distiller's setting anew at the start of each epoch or step.

    The value acts on the next execution without a new trace. It is logged under the setting's name,
    so `History`, `TensorBoard` and `CSVLogger` show it, in whatever order the callbacks are given.
    A resumed training takes up the schedule where it stopped: it counts by Keras' own epoch and by
    the optimizer's steps.

    Args:
        variable: What to schedule: `"alpha"`, `"temperature"`, `"hard_weight"`,
            `"<term>_weight"` or `"<term>_temperature"`, with the term's name as in the logs; or the
            variable itself, e.g. `distiller.alpha`. `"temperature"` is that of all outputs;
            where they have their own, `"<term>_temperature"` moves one alone.
        fn: Function of the epoch or the step, from 0, that returns a number: one of
            `keras_kd.callbacks.shapes`, a `keras.optimizers.schedules.LearningRateSchedule`, or any
            other.
        every: `"epoch"` or `"step"`: what `fn` counts. With `steps_per_execution` above 1, a step's
            value holds for a whole execution.

    Raises:
        TypeError: If `fn` cannot be called with one number.
        ValueError: If `every` is neither; and at the start of `fit`, if the model has no such
            setting; or when `fn` returns what the setting cannot be.

    Example:
    ```python
    shapes = keras_kd.callbacks.shapes
    distiller.fit(
        x,
        y,
        epochs=20,
        callbacks=[
            keras_kd.callbacks.Schedule("alpha", shapes.linear(0.0, 0.9, over=20)),
            keras_kd.callbacks.Schedule("temperature", lambda epoch: 4.0 if epoch < 10 else 1.0),
        ],
    )
    ```
    """

    order = (
        1  # others read the logs that it writes; see `keras_kd.distiller.faults.Watch.callbacks`
    )

    def __init__(self, variable: str | keras.Variable, fn: Callable, every: str = "epoch"):
        super().__init__()
        self.variable = variable
        self.fn = _check_function(fn)
        self.every = check_choice("every", every, ("epoch", "step"), "say what fn counts")
        self.name: str | None = None
        self.value: float | None = None
        self._first_step: int | None = None
        self._steps_before = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Looks the setting up.

        Raises:
            ValueError: If the model has none of that name, or another schedule has the same.
        """
        self.value = None  # others may have assigned since
        settings = _settings(self.model)
        self.name = _name_of(self.variable, settings)
        facts = self.model.fit_facts
        schedules = [x for x in facts.callbacks if isinstance(x, Schedule)] if facts else []
        names = [_name_of(each.variable, settings) for each in schedules]
        own = set(map(id, settings[self.name].variables))
        moving = [name for name in names if own & set(map(id, settings[name].variables))]
        if len(moving) > 1:
            raise refusal(
                "A setting must have one Schedule",
                received=f"schedules of {moving}",
                mend="Give one of them a function that does what all are to do",
            )
        if isinstance(self.fn, Shape):
            for value in self.fn.ends:
                self._checked(value, "at one of its ends")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Assigns the epoch's value."""
        if self.every == "epoch":
            self._assign(epoch)
        else:
            self._first_step = None
            self._steps_before = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Assigns the step's value."""
        if self.every == "step":
            if self._first_step is None:
                self._first_step = batch
            self._assign(self._steps_before + batch - self._first_step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs the last value."""
        if logs is not None and self.value is not None:
            logs[self.name] = self.value

    def _assign(self, count: int) -> None:
        if not self.model.distils:
            self.value = math.nan  # `EndDistillation` has ended what it scheduled
            return
        value = self._checked(_number(self.fn(count)), f"{self.every} {count}")
        if value != self.value or self.every == "epoch":
            for variable in _settings(self.model)[self.name].variables:
                variable.assign(value)
        self.value = value

    def _checked(self, value: Any, when: str) -> float:
        rule = _settings(self.model)[self.name].rule
        try:
            return check_number(self.name, value, rule)
        except (TypeError, ValueError) as error:
            raise type(error)(
                message(
                    f"The schedule of {self.name} must give finite numbers {rule}",
                    received=f"{value!r}, {when}",
                    mend="Correct the values of fn",
                )
            ) from error


class _Setting(NamedTuple):
    variables: list[keras.Variable]
    rule: str


def _settings(model: Any) -> dict[str, _Setting]:
    """Returns what can be scheduled by the name of its column in the logs."""
    check_distils(
        "Schedule",
        model,
        mend="Use keras.callbacks.LearningRateScheduler for an optimizer's learning rate",
    )
    if model.is_plain:
        found = {
            "alpha": _Setting([model.alpha], "from 0 to 1"),
            "temperature": _Setting(_temperatures(model), "above 0"),
        }
    else:
        found = {"hard_weight": _Setting([model.hard_weight], "at least 0")}
    for term in model.terms:
        found[f"{term.name}_weight"] = _Setting([term.weight], "at least 0")
        if term.temperature is not None:
            found[f"{term.name}_temperature"] = _Setting([term.temperature], "above 0")
    return found


def _temperatures(model: Distiller) -> list[keras.Variable]:
    """Returns the temperatures of all outputs, one that they share once."""
    return list({id(term.temperature): term.temperature for term in model.terms}.values())


def _name_of(variable: Any, settings: dict[str, _Setting]) -> str:
    for name, setting in settings.items():
        is_it = len(setting.variables) == 1 and variable is setting.variables[0]
        if is_it or (isinstance(variable, str) and variable == name):
            return name
    given = str(getattr(variable, "name", variable))
    rule, mend = "be a setting of the Distiller", f"Did you mean {closest(given, settings)!r}"
    expected = f"one of {list(settings)}, or such a variable itself"
    raise wrong("variable", rule, variable, expected=expected, mend=mend)


def _check_function(fn: Any) -> Callable:
    try:
        inspect.signature(fn).bind(0)
    except (TypeError, ValueError) as error:
        raise refusal(
            "fn must be a function of one number, the epoch or the step",
            expected="e.g. lambda epoch: 0.9 if epoch < 10 else 0.1",
            received=f"{fn!r} ({error})",
            mend="For a constant, pass it to compile or assign it",
            error=TypeError,
        ) from error
    return fn


def _number(value: Any) -> Any:
    """Returns a tensor's or an array's only number as a float; anything else as it is."""
    if hasattr(value, "shape") and tuple(value.shape) == ():
        return float(keras.ops.convert_to_numpy(value))
    return value
