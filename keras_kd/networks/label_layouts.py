"""How labels lie beside an output: as class ids, or as rows with a value for each class."""

from collections.abc import Sequence

from keras_kd.losses.base import same_shape

__all__ = ["COLUMN", "IDS", "MISSING", "ROWS", "layout"]

MISSING = -1  # in the place of a label that is not known
IDS, COLUMN, ROWS = "ids", "column", "rows"


def layout(labels: Sequence[int | None], output: Sequence[int | None]) -> str | None:
    """Returns how labels of a shape lie beside an output of another.

    Args:
        labels: The labels' shape.
        output: The output's, `(..., classes)`.

    Returns:
        `"ids"` for `(...)`, `"column"` for `(..., 1)` beside 2 or more classes, `"rows"` for
        `(..., classes)`, `None` for other shapes. Unknown sizes fit all.
    """
    labels, output = tuple(labels), tuple(output)
    if same_shape(labels, output) and (labels[-1] != 1 or output[-1] == 1):
        return ROWS
    if labels and labels[-1] == 1 and same_shape(labels[:-1], output[:-1]):
        return COLUMN
    return IDS if same_shape(labels, output[:-1]) else None
