"""What a comparison says in words: the gap that was closed, and the spread over seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from keras_kd import _text
from keras_kd._errors import refusal, wrong

__all__ = ["Spread", "check_share", "gap_closed", "over_seeds", "paired", "spread", "verdict"]


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
        check_share(name, score)
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
        mend = "Train with more seeds; one run tells nothing of the spread"
        rule = "come from several seeds"
        raise wrong("scores", rule, scores, expected="at least two scores", mend=mend)
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
        raise refusal(
            "student and distilled must be scores of the same seeds",
            received=f"lengths {len(student)} and {len(distilled)}",
            mend="Pass one pair of scores per seed, in the same order",
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
    return f"{head}\n{_text.pairs(lines)}"


def _with_values(scores: Sequence[float]) -> str:
    return f"{spread(scores)} ({' '.join(f'{100 * score:.2f}' for score in scores)})"


def check_share(name: str, value: float) -> None:
    """Raises where a value is not a share, from 0 to 1."""
    if not (math.isfinite(value) and 0 <= value <= 1):
        rule, expected = "be a share of right answers", "a number from 0 to 1, e.g. 0.935"
        raise wrong(name, rule, value, expected=expected, mend="Divide a percentage by 100")
