"""Parameters of the shipped augmentations, checked."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

from keras_kd._errors import message


def whole(name: str, value: Any, least: int = 0) -> int:
    """Returns `value` if it is an integer of at least `least`.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is less.
    """
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if is_whole and value >= least:
        return int(value)
    raise (ValueError if is_whole else TypeError)(
        message(
            f"{name} must be a whole number of at least {least}",
            expected=f"an int, {least} or more",
            received=repr(value),
            mend=f"Pass e.g. {name}={max(least, 4)}",
        )
    )


def sizes(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """Returns height and width from two numbers or from one for both.

    Raises:
        TypeError: If they are no integers.
        ValueError: If there are not two, or one is below 1.
    """
    if not isinstance(value, list | tuple):
        value = (value, value)
    if len(value) != 2:
        raise ValueError(
            message(
                f"{name} must be height and width",
                expected="one int or two",
                received=repr(value),
                mend=f"Pass e.g. {name}=(224, 224)",
            )
        )
    height, width = (whole(name, side, least=1) for side in value)
    return height, width


def span(name: str, value: Sequence[float], most: float = math.inf) -> tuple[float, float]:
    """Returns the ends of a range of numbers above 0 and up to `most`.

    Raises:
        TypeError: If it is not two numbers.
        ValueError: If they are not in order or out of bounds.
    """
    is_pair = isinstance(value, list | tuple) and [
        isinstance(end, numbers.Real) and not isinstance(end, bool) for end in value
    ] == [True, True]
    if is_pair and 0 < value[0] <= value[1] <= most and math.isfinite(value[1]):
        return float(value[0]), float(value[1])
    bound = f" and at most {most}" if math.isfinite(most) else ""
    raise (ValueError if is_pair else TypeError)(
        message(
            f"{name} must be two finite numbers in order, above 0{bound}",
            expected="(least, greatest)",
            received=repr(value),
            mend=f"Pass e.g. {name}=(0.5, 1.0)",
        )
    )
