"""The one form of every error message in keras_kd."""

import math
import numbers
import re

_RULES = {  # what must hold, and an example
    "above 0": (lambda value: value > 0, 4.0),
    "at least 0": (lambda value: value >= 0, 1.0),
    "from 0 to 1": (lambda value: 0 <= value <= 1, 0.1),
    "of either sign": (lambda value: True, 0.0),
}


def message(what: str, *, expected: object, received: object, mend: str) -> str:
    """Builds `<what must rule>. Expected: ... Received: ... <one way to mend it>.`.

    Args:
        what: The argument and its rule, e.g. `"alpha must be a number from 0 to 1"`.
        expected: What would have been right.
        received: What came instead.
        mend: One thing to do about it, an imperative sentence without its full stop.
    """
    return f"{what}. Expected: {expected}. Received: {received}. {mend}."


def reason(error: BaseException) -> str:
    """Returns what an error says: a message of `message`'s form within it, else its first line."""
    own = re.search(r"[^\n]* must [^\n]*\. Expected: [^\n]*\. Received: [^\n]*\.", str(error))
    if own:
        return re.sub(r"^\s*(\w*Error: )?", "", own[0])
    first, *_ = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first}"[:400]


def check_count(name: str, value: object, optional: bool = False) -> int | None:
    """Returns `value` if it is an integer of at least 1, or `None` where that may be.

    Args:
        name: The argument's name.
        value: What came.
        optional: Whether it may be `None`.

    Raises:
        TypeError: If `value` is not an integer.
        ValueError: If it is below 1.
    """
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if value is None and optional:
        return None
    if is_integer and value >= 1:
        return int(value)
    raise (ValueError if is_integer else TypeError)(
        message(
            f"{name} must be an integer of at least 1",
            expected=f"1 or more{', or None' if optional else ''}",
            received=repr(value),
            mend=f"Pass e.g. {name}=3",
        )
    )


def check_number(name: str, value: object, rule: str, example: float | None = None) -> float:
    """Returns `value` as a float if it is a finite number that follows the rule.

    Args:
        name: The argument's name.
        value: What came.
        rule: `"above 0"`, `"at least 0"`, `"from 0 to 1"` or `"of either sign"`.
        example: A value to pass instead, for the message.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If it is not finite or breaks the rule.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    holds, usual = _RULES[rule]
    if is_number and math.isfinite(value) and holds(value):
        return float(value)
    raise (ValueError if is_number else TypeError)(
        message(
            f"{name} must be a finite number {rule}",
            expected=f"a float {rule}",
            received=repr(value),
            mend=f"Pass e.g. {name}={usual if example is None else example}",
        )
    )
