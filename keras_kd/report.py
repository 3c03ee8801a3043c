"""The comparison of teacher, student and distilled student, in a table and in words."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keras_kd._errors import message

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
        _check_share("top1", self.top1)


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
        raise ValueError(
            message(
                "outputs and labels must be of the same samples",
                expected="outputs (samples, classes) and labels (samples,)",
                received=f"outputs {outputs.shape} and labels {labels.shape}",
                mend="Pass class numbers, one per row of outputs, not one-hot labels",
            )
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
        raise ValueError(
            message(
                "rows must hold what the table is to show",
                expected="at least one Row",
                received=repr(rows),
                mend="Pass e.g. [Row('student', parameters=524, bytes=4328, top1=0.935)]",
            )
        )
    lines = [_HEADER, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    header, *body = [_aligned(line, widths) for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *body])


def gap_closed(teacher: float, student: float, distilled: float) -> float | None:
    """Returns the share of the gap between teacher and student that distillation closed.

    `(distilled - student) / (teacher - student)`: 0 where it did not help, below 0 where it did
    harm, above 1 where the student overtook its teacher.

    Args:
        teacher: The teacher's share of right answers, from 0 to 1.
        student: The same of the student trained without a teacher.
        distilled: The same of the distilled student.

    Returns:
        The share, or `None` where the teacher is not better than the student alone: then there is
        no gap to close, and a quotient would mean nothing.

    Raises:
        ValueError: If a score is not from 0 to 1.

    Example:
    >>> report.gap_closed(teacher=0.95, student=0.75, distilled=0.85)
    0.5
    """
    for name, score in (("teacher", teacher), ("student", student), ("distilled", distilled)):
        _check_share(name, score)
    if teacher <= student:
        return None
    # Rounding away what float subtraction adds: (0.85 - 0.75) / (0.95 - 0.75) is 0.5.
    return round((distilled - student) / (teacher - student), 12)


def verdict(teacher: float, student: float, distilled: float) -> str:
    """Returns `gap_closed` in a sentence, which also says when there was no gap, or no help.

    Args:
        teacher: As in `gap_closed`.
        student: As in `gap_closed`.
        distilled: As in `gap_closed`.

    Example:
    >>> print(report.verdict(teacher=0.95, student=0.75, distilled=0.85))
    Distillation closed 50.0 % of the gap of 20.00 points between teacher and student.
    """
    share = gap_closed(teacher, student, distilled)
    gain = f"{100 * (distilled - student):+.2f} points"
    if share is None:
        return (
            "There is no gap to close: the teacher is not better than the student alone. "
            f"Distilled against alone: {gain}."
        )
    gap = f"the gap of {100 * (teacher - student):.2f} points between teacher and student"
    if share <= 0:
        return f"Distillation did not help: {gain}, with {gap}."
    return f"Distillation closed {100 * share:.1f} % of {gap}."


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over the seeds.

    Args:
        mean: The mean.
        std: The standard deviation of one seed's value, estimated from the sample (ddof=1).
        count: Number of seeds.
    """

    mean: float
    std: float
    count: int

    def __str__(self) -> str:
        return f"{100 * self.mean:.2f} ± {100 * self.std:.2f} %"

    def points(self) -> str:
        """Returns a difference of shares in percentage points, with its sign."""
        return f"{100 * self.mean:+.2f} ± {100 * self.std:.2f} points"


def spread(scores: Sequence[float]) -> Spread:
    """Returns mean and standard deviation of the scores of several seeds.

    Args:
        scores: One score per seed, of two seeds or more.

    Raises:
        ValueError: If there are fewer than two scores.

    Example:
    >>> print(report.spread([0.92, 0.93, 0.94]))
    93.00 ± 1.00 %
    """
    scores = [float(score) for score in scores]
    if len(scores) < 2:
        raise ValueError(
            message(
                "scores must come from several seeds",
                expected="at least two scores",
                received=scores,
                mend="Train with more seeds; one run tells nothing of the spread",
            )
        )
    return Spread(statistics.fmean(scores), statistics.stdev(scores), len(scores))


def paired(student: Sequence[float], distilled: Sequence[float]) -> Spread:
    """Returns mean and standard deviation of the difference, distilled minus student, seed by seed.

    Pairs share their seed, so what a lucky seed gives to both leaves the difference alone: its
    spread is the one to hold against its mean.

    Args:
        student: One score per seed of the student trained without a teacher, two seeds or more.
        distilled: The scores of the distilled student, with the same seeds in the same order.

    Raises:
        ValueError: If the lengths differ, or there are fewer than two scores.

    Example:
    >>> print(report.paired([0.90, 0.92], [0.93, 0.93]).points())
    +2.00 ± 1.41 points
    """
    if len(student) != len(distilled):
        raise ValueError(
            message(
                "student and distilled must be scores of the same seeds",
                expected="two sequences of one length",
                received=f"lengths {len(student)} and {len(distilled)}",
                mend="Pass one pair of scores per seed, in the same order",
            )
        )
    return spread([after - before for before, after in zip(student, distilled)])


def over_seeds(
    teacher: Sequence[float], student: Sequence[float], distilled: Sequence[float]
) -> str:
    """Returns mean ± standard deviation of each, and of the paired difference, in lines of text.

    Args:
        teacher: The teacher's share of right answers, from 0 to 1, one per seed.
        student: The same of the student trained without a teacher.
        distilled: The same of the distilled student.

    Raises:
        ValueError: If the lengths differ, or there are fewer than two seeds.

    Example:
    >>> print(report.over_seeds([0.98, 0.99], [0.90, 0.92], [0.93, 0.93]))
    2 seeds, mean ± standard deviation:
    teacher              98.50 ± 0.71 % (98.00 99.00)
    student              91.00 ± 1.41 % (90.00 92.00)
    distilled            93.00 ± 0.00 % (93.00 93.00)
    distilled - student  +2.00 ± 1.41 points, above 0 in 2 of 2
    """
    difference = paired(student, distilled)
    wins = sum(after > before for before, after in zip(student, distilled))
    lines = [
        ("teacher", _with_values(teacher)),
        ("student", _with_values(student)),
        ("distilled", _with_values(distilled)),
        ("distilled - student", f"{difference.points()}, above 0 in {wins} of {len(student)}"),
    ]
    head = f"{difference.count} seeds, mean ± standard deviation:"
    return "\n".join([head, *(f"{name:<21}{value}" for name, value in lines)])


def _with_values(scores: Sequence[float]) -> str:
    return f"{spread(scores)} ({' '.join(f'{100 * score:.2f}' for score in scores)})"


def _check_share(name: str, value: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(
            message(
                f"{name} must be a share of right answers",
                expected="a number from 0 to 1, e.g. 0.935",
                received=value,
                mend="Divide a percentage by 100",
            )
        )


def _cells(row: Row) -> tuple[str, str, str, str]:
    # A bare bar would begin a new cell.
    method = row.method.replace("|", "\\|")
    return method, f"{row.parameters:,}", _size(row.bytes), f"{100 * row.top1:.2f} %"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = line
    return [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]


def _size(count: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        # What rounds up to 1000.0 of the smaller unit is shown in the larger.
        if count >= 0.99995 * factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
