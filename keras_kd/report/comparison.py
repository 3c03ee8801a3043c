"""The comparison of teacher, student and distilled student in a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keras_kd import _text
from keras_kd._errors import refusal, wrong
from keras_kd.report.verdicts import check_share

__all__ = ["Row", "table", "top1"]

_HEADER = ("Method", "Parameters", "Model size", "Top-1")


@dataclass(frozen=True)
class Row:
    """One line of the comparison table.

    Args:
        method: What the line is about, e.g. `"distilled int8"`.
        parameters: Number of the model's weights, as `model.count_params()` gives it.
        bytes: Size of the model's file. One format for all lines compares best.
        top1: Share of right answers, from 0 to 1.

    Raises:
        ValueError: If `top1` is not from 0 to 1, e.g. in percent.

    Example:
    >>> report.Row("student", parameters=524, bytes=4328, top1=0.935)
    Row(method='student', parameters=524, bytes=4328, top1=0.935)
    """

    method: str
    parameters: int
    bytes: int
    top1: float

    def __post_init__(self) -> None:
        check_share("top1", self.top1)


def top1(outputs: ArrayLike, labels: ArrayLike) -> float:
    """Returns the share of right answers.

    Args:
        outputs: Logits or probabilities, `(samples, classes)`.
        labels: Class numbers, `(samples,)`.

    Raises:
        ValueError: If the shapes do not fit, or there are no samples.

    Example:
    >>> report.top1([[0.1, 2.0], [0.3, 0.2]], [1, 1])
    0.5
    """
    outputs, labels = np.asarray(outputs), np.asarray(labels)
    if outputs.ndim != 2 or labels.shape != outputs.shape[:1] or not labels.size:
        raise refusal(
            "outputs and labels must be of the same samples",
            expected="outputs (samples, classes) and labels (samples,)",
            received=f"outputs {outputs.shape} and labels {labels.shape}",
            mend="Pass class numbers, one per row of outputs, not one-hot labels",
        )
    return float(np.mean(outputs.argmax(axis=-1) == labels))


def table(rows: Sequence[Row]) -> str:
    """Returns the rows as an aligned Markdown table, `Method | Parameters | Model size | Top-1`.

    Sizes are decimal (1 kB is 1000 bytes), Top-1 is in percent with 2 decimals.

    Args:
        rows: The lines, in the order of the table.

    Raises:
        ValueError: If there are no rows.

    Example:
    >>> print(report.table([report.Row("student", parameters=524, bytes=4328, top1=0.935)]))
    | Method  | Parameters | Model size |   Top-1 |
    | :------ | ---------: | ---------: | ------: |
    | student |        524 |     4.3 kB | 93.50 % |
    """
    if not rows:
        mend = "Pass e.g. [Row('student', parameters=524, bytes=4328, top1=0.935)]"
        raise wrong("rows", "hold at least one Row", rows, expected="at least one Row", mend=mend)
    return _text.markdown(_HEADER, map(_cells, rows))


def _cells(row: Row) -> tuple[str, str, str, str]:
    size, share = _text.bytes_in_words(row.bytes), f"{100 * row.top1:.2f} %"
    return row.method, f"{row.parameters:,}", size, share
