"""What teachers in files have in common."""

from typing import Any

from keras_kd._errors import refusal, shown, wrong

__all__ = ["chosen", "is_of_classes"]


def is_of_classes(shape: Any) -> bool:
    """Whether an output may be one row of classes for each sample, as far as is known."""
    return shape is None or len(shape) == 2


def chosen(outputs: dict[str, Any], output: str | None) -> tuple[str, int | None]:
    """Returns the name of the output to learn from, and its number of classes where it is known.

    Args:
        outputs: The shapes of the file's outputs by name, `None` for what is not known.
        output: The name that was asked for; `None` for the only one that has classes.

    Raises:
        ValueError: If there is none, or several.
    """
    usable = {name: shape for name, shape in outputs.items() if is_of_classes(shape)}
    if output is not None and output not in usable:
        rule, mend = "name an output (batch, classes)", f"Pass one of {[*usable]}"
        raise wrong("output", rule, output, expected=f"one of {[*usable]}", mend=mend)
    if output is None and len(usable) != 1:
        raise refusal(
            "A teacher in a file must have one output (batch, classes), or output= name one",
            received=shown(outputs),
            mend="Pass output=" if usable else "Convert the model again, up to its classes",
        )
    output = output or next(iter(usable))
    return output, usable[output] and usable[output][1]
