"""The one form of every error message in keras_kd, and checks of the common kinds of argument.

`wrong` builds the error of an argument that breaks a rule; `check_choice`, `check_type`,
`check_callable`, `check_integer` and `check_number` return what keeps theirs. `refusal` is for all
that is not about one argument, and `message` for its text alone.
"""

import math
import numbers
import re
from collections.abc import Iterable
from typing import Any

_LONGEST = 200
_RULES = {  # what must hold, and an example
    "above 0": (lambda value: value > 0, 4.0),
    "at least 0": (lambda value: value >= 0, 1.0),
    "at least 0 and below 1": (lambda value: 0 <= value < 1, 0.5),
    "from 0 to 1": (lambda value: 0 <= value <= 1, 0.1),
    "of either sign": (lambda value: True, 0.0),
}


def message(what: str, *, received: object, mend: str, expected: object = None) -> str:
    """Builds `<what must rule>. Expected: ... Received: ... <one way to mend it>.`.

    Args:
        what: The argument and its rule, e.g. `"alpha must be a number from 0 to 1"`.
        received: What came instead.
        mend: One thing to do about it, an imperative sentence without its full stop.
        expected: What would have been right; by default what the rule says, e.g. `"a number from
            0 to 1"`.
    """
    expected = _said(what.partition(" must ")[2]) if expected is None else expected
    return f"{what}. Expected: {expected}. Received: {received}. {mend}."


def _said(rule: str) -> str:
    return re.sub(r"^(be|give|have|hold|return) ", "", rule)


def refusal(
    what: str,
    *,
    received: object,
    mend: str,
    expected: object = None,
    error: type[Exception] = ValueError,
) -> Exception:
    """Returns the error with a `message`, whose arguments these are.

    Args:
        what: As in `message`, like `received`, `mend` and `expected`.
        received: What came instead.
        mend: One thing to do about it.
        expected: What would have been right; by default what the rule says.
        error: The error's class.
    """
    return error(message(what, expected=expected, received=received, mend=mend))


def reason(error: BaseException) -> str:
    """Returns what an error says: a message of `message`'s form within it, else its first line."""
    own = re.search(r"[^\n]* must [^\n]*\. Expected: [^\n]*\. Received: [^\n]*\.", str(error))
    if own:
        return re.sub(r"^\s*(\w*Error: )?", "", own[0])
    first, *_ = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first}"[:400]


def shown(value: object) -> str:
    """Returns a value as messages show it: its `repr` on one line, the middle of a long one cut."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-20:]}"


def among(choices: Iterable[object]) -> str:
    """Returns choices in words, e.g. `"'lazy' or 'full'"`."""
    *others, last = map(repr, choices)
    return f"{', '.join(others)} or {last}" if others else last


def wrong(
    name: str,
    rule: str,
    value: object,
    *,
    example: object = None,
    expected: str | None = None,
    mend: str | None = None,
    error: type[Exception] = ValueError,
) -> Exception:
    """Returns the error of an argument that breaks a rule, with the value that came.

    Args:
        name: The argument's name.
        rule: What it must do or be, e.g. `"be a list of layer paths"`.
        value: What came.
        example: A value to pass instead.
        expected: What would have been right; by default what the rule says.
        mend: What to do, where an example is not enough.
        error: The error's class.

    Example:
    >>> print(wrong("shard", "be (i, n) with 0 <= i < n", (4, 4), example=(0, 4)))
    shard must be (i, n) with 0 <= i < n. Expected: (i, n) with 0 <= i < n. Received:
    (4, 4). Pass e.g. shard=(0, 4).
    """
    expected = expected or _said(rule)
    mend = mend or f"Pass e.g. {name}={example!r}"
    what, received = f"{name} must {rule}", shown(value)
    return refusal(what, expected=expected, received=received, mend=mend, error=error)


def check_choice(name: str, value: Any, choices: Iterable[str], rule: str | None = None) -> Any:
    """Returns `value` if it is one of the choices.

    Args:
        name: The argument's name.
        value: What came.
        choices: What it may be.
        rule: The rule in words; by default the choices themselves.

    Raises:
        ValueError: If it is none of them.
    """
    choices = tuple(choices)
    # Of one type, as an array compares by element.
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    rule, listed = rule or f"be {among(choices)}", f"one of {', '.join(map(repr, choices))}"
    raise wrong(name, rule, value, expected=listed, example=choices[0])


def check_type(
    name: str, value: Any, kinds: type | tuple[type, ...], rule: str, **options: Any
) -> Any:
    """Returns `value` if it is an instance of `kinds`.

    Args:
        name: The argument's name.
        value: What came.
        kinds: What it may be an instance of.
        rule: The rule in words, e.g. `"be a path"`.
        **options: Further arguments of `wrong`.

    Raises:
        TypeError: If it is not.
    """
    if isinstance(value, kinds):
        return value
    raise wrong(name, rule, value, error=TypeError, **options)


def check_callable(name: str, value: Any, rule: str, **options: Any) -> Any:
    """Returns `value` if it can be called; the arguments are those of `check_type`.

    Raises:
        TypeError: If it cannot.
    """
    if callable(value):
        return value
    raise wrong(name, rule, value, error=TypeError, **options)


def is_integer(value: Any) -> bool:
    """Whether `value` is a whole number by its type: Python's or NumPy's, and not a boolean."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether `value` is a real number by its type, and not a boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_integer(
    name: str,
    value: Any,
    least: int = 0,
    most: int | None = None,
    *,
    optional: bool = False,
    example: int | None = None,
) -> int | None:
    """Returns `value` as an `int` if it is an integer in a range, or `None` where that may be.

    Args:
        name: The argument's name.
        value: What came.
        least: The smallest that it may be.
        most: The largest that it may be; `None` for any.
        optional: Whether it may be `None`.
        example: A value to pass instead, for the message.

    Raises:
        TypeError: If `value` is not an integer.
        ValueError: If it is outside the range.
    """
    if value is None and optional:
        return None
    whole = is_integer(value)
    if whole and least <= value and (most is None or value <= most):
        return int(value)
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    short = f"{least} or more" if most is None else f"{least} to {most}"
    short += ", or None" if optional else ""
    if example is None:
        example = max(least, 3 if most is None else min(3, most))
    rule, error = f"be an integer {bounds}", ValueError if whole else TypeError
    raise wrong(name, rule, value, expected=short, example=example, error=error)


def check_lengths(name: str, lengths: Iterable[int], mend: str) -> int:
    """Returns how many samples arrays hold, which must be as many in each, and at least one.

    Args:
        name: What the arrays are.
        lengths: The number of samples in each array.
        mend: What to do about others.

    Raises:
        ValueError: If there are others, or none.
    """
    sizes = list(lengths)
    if len(set(sizes)) == 1 and sizes[0] > 0:
        return sizes[0]
    rule = "hold at least one sample, and the same number in each array"
    raise wrong(name, rule, sizes, expected="arrays of one length", mend=mend)


def check_count(name: str, value: Any, optional: bool = False, least: int = 1) -> int | None:
    """Returns `value` if it is an integer of at least 1, or of `least`; see `check_integer`."""
    return check_integer(name, value, least, optional=optional)


def check_number(name: str, value: Any, rule: str, example: float | None = None) -> float:
    """Returns `value` as a float if it is a finite number that follows the rule.

    Args:
        name: The argument's name.
        value: What came.
        rule: One of `"above 0"`, `"at least 0"`, `"at least 0 and below 1"`, `"from 0 to 1"` and
            `"of either sign"`.
        example: A value to pass instead, for the message.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If it is not finite or breaks the rule.
    """
    real = is_number(value)
    holds, usual = _RULES[rule]
    if real and math.isfinite(value) and holds(value):
        return float(value)
    example = usual if example is None else example
    error = ValueError if real else TypeError
    raise wrong(name, f"be a finite number {rule}", value, example=example, error=error)
