"""The usual shapes of a schedule: functions of a count, from 0."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

from keras_kd._errors import check_count, check_number, check_type, wrong

__all__ = ["cosine", "linear", "step", "warm_up"]


class Shape(ABC):
    """A function of the epoch or the step, whose extreme values are known."""

    ends: tuple[float, ...]

    @abstractmethod
    def __call__(self, count: int) -> float:
        """Returns the value at a count."""


def linear(start: float, end: float, over: int) -> Shape:
    """Returns a straight line from `start`, at 0, to `end`, at `over`, and `end` after it.

    Args:
        start: The first value.
        end: The last value.
        over: The number of epochs or steps in between.

    Raises:
        TypeError: If a value is not a number, or `over` not an integer.
        ValueError: If a value is not finite, or `over` below 1.

    Example:
    >>> ramp = keras_kd.callbacks.shapes.linear(1.0, 0.0, over=4)
    >>> [ramp(epoch) for epoch in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    return _Between(start, end, over, lambda share: share)


def cosine(start: float, end: float, over: int) -> Shape:
    """Returns half a cosine from `start`, at 0, to `end`, at `over`, and `end` after it.

    Args:
        start: The first value.
        end: The last value.
        over: The number of epochs or steps in between.

    Raises:
        TypeError: As in `linear`.
        ValueError: As in `linear`.

    Example:
    >>> wave = keras_kd.callbacks.shapes.cosine(1.0, 0.0, over=4)
    >>> [round(wave(epoch), 3) for epoch in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    return _Between(start, end, over, lambda share: (1 - math.cos(math.pi * share)) / 2)


def step(values: Mapping[int, float]) -> Shape:
    """Returns constants, each from its own count on.

    Args:
        values: Dict of values by the first epoch or step that they hold for, 0 among them.

    Raises:
        TypeError: If `values` is not a dict of numbers by integers.
        ValueError: If no value holds at 0.

    Example:
    >>> stairs = keras_kd.callbacks.shapes.step({0: 4.0, 10: 2.0, 15: 1.0})
    >>> [stairs(epoch) for epoch in (0, 9, 10, 14, 99)]
    [4.0, 4.0, 2.0, 2.0, 1.0]
    """
    return _Steps(values)


def warm_up(target: float, over: int, start: float = 0.0, then: Shape | None = None) -> Shape:
    """Returns a straight line up to `target`, at `over`, and what follows it.

    Args:
        target: The value at `over`.
        over: The number of epochs or steps that it takes.
        start: The first value.
        then: Another shape, which counts from `over` on. Default: `target` for good.

    Raises:
        TypeError: As in `linear`.
        ValueError: As in `linear`.

    Example:
    >>> shapes = keras_kd.callbacks.shapes
    >>> warm = shapes.warm_up(1.0, over=2, then=shapes.linear(1.0, 0.0, over=2))
    >>> [warm(epoch) for epoch in range(6)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    return _Joined(linear(start, target, over), then, over)


class _Between(Shape):
    def __init__(self, start, end, over, share):
        self.ends = (
            check_number("start", start, "of either sign"),
            check_number("end", end, "of either sign"),
        )
        self._over, self._share = check_count("over", over), share

    def __call__(self, count: int) -> float:
        start, end = self.ends
        share = self._share(min(max(count / self._over, 0.0), 1.0))
        # Exactly `end` at the end, whatever rounding does.
        return end if share == 1.0 else start + (end - start) * share


class _Steps(Shape):
    def __init__(self, values: Mapping[int, float]):
        rule = "say from which count on each value holds, beginning at 0"
        example = {0: 4.0, 10: 2.0}
        check_type("values", values, Mapping, rule, expected="a dict", example=example)
        if 0 not in values:
            raise wrong("values", rule, values, expected="a value at 0", example=example)
        self._values = sorted((first, float(value)) for first, value in values.items())
        self.ends = tuple(value for _, value in self._values)

    def __call__(self, count: int) -> float:
        return [value for first, value in self._values if first <= max(count, 0)][-1]


class _Joined(Shape):
    def __init__(self, first: Shape, then: Shape | None, over: int):
        self._first, self._then, self._over = first, then, over
        self.ends = (*first.ends, *(then.ends if then else ()))

    def __call__(self, count: int) -> float:
        after = count - self._over
        return self._then(after) if self._then and after >= 0 else self._first(count)
