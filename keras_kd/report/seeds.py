"""Does distillation help, beyond what the seeds do? A paired test says so."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from keras_kd._errors import check_number, refusal, wrong
from keras_kd._extras import require
from keras_kd.report import verdicts
from keras_kd.report.verdicts import Spread, paired, spread

__all__ = ["SeedsComparison", "over_seeds"]

_ENOUGH = 3  # seeds; with two, a paired t-test has one degree of freedom


@dataclass(frozen=True)
class SeedsComparison:
    """The scores of several seeds, and what a paired test makes of them.

    Attributes:
        scores: The scores by method and seed.
        difference: Mean and standard deviation of distilled minus student, seed by seed.
        interval: Confidence interval of the mean difference; `None` with too few seeds.
        p_value: That of the test, two-sided; `None` with too few seeds.
        verdict: `"BETTER"`, `"NO BETTER"`, `"WORSE"` or `"INCONCLUSIVE"`.
        reason: Why, with the test named.
        confidence: Of the interval.
        margin: The difference that would matter.
    """

    scores: dict[str, dict[str, float]]
    difference: Spread
    interval: tuple[float, float] | None
    p_value: float | None
    verdict: str
    reason: str
    confidence: float
    margin: float

    def __str__(self) -> str:
        before, after = list(self.scores)[-2:]
        compared = f"{after} - {before}"
        width = max(map(len, [*self.scores, compared])) + 2
        lines = [f"{self.difference.count} seeds, mean ± standard deviation:"]
        for name, by_seed in self.scores.items():
            lines.append(f"{name:<{width}}{spread(list(by_seed.values()))}")
        lines.append(f"{compared:<{width}}{self.difference.points()}")
        return "\n".join([*lines, f"{self.verdict}: {self.reason}"])

    def to_json(self) -> str:
        """Returns all values as JSON."""
        return json.dumps(asdict(self), indent=2)


def over_seeds(
    teacher: Mapping[str, Mapping[int, float] | Sequence[float]] | Sequence[float],
    student: Sequence[float] | None = None,
    distilled: Sequence[float] | None = None,
    *,
    confidence: float = 0.95,
    margin: float = 0.002,
) -> "SeedsComparison | str":
    """Compares the scores of several seeds: mean ± standard deviation, and a verdict.

    The verdict follows SciPy's paired t-test (`scipy.stats.ttest_rel`, extra `report`) on distilled
    and student with the same seeds, and the interval of their mean difference:

    - `BETTER` or `WORSE`: the interval is above or below 0;
    - `NO BETTER`: it holds 0, and ends below `margin`, so a gain that matters is ruled out;
    - `INCONCLUSIVE`: it holds 0 and more than `margin`, or there are fewer than 3 seeds.

    Args:
        teacher: Scores from 0 to 1 by method, each a sequence, or a dict by seed. `"student"` and
            `"distilled"` (or `"Student"`, `"Distilled"`) are compared; under other names the last
            two are, the distilled student's last. In the form of three sequences, the teacher's.
        student: In the form of three sequences, those of the student trained without a teacher.
        distilled: In the form of three sequences, those of the distilled student.
        confidence: Of the interval, from 0 to 1.
        margin: The smallest gain that would matter, a share of right answers.

    Returns:
        A `SeedsComparison`; in the form of three sequences, lines of text without a verdict.

    Raises:
        ValueError: If the seeds differ, there are fewer than two, or a score is not from 0 to 1.
        ImportError: If SciPy is not installed.

    Example:
    >>> print(report.over_seeds([0.98, 0.99], [0.90, 0.92], [0.93, 0.93]))
    2 seeds, mean ± standard deviation:
    teacher              98.50 ± 0.71 % (98.00 99.00)
    student              91.00 ± 1.41 % (90.00 92.00)
    distilled            93.00 ± 0.00 % (93.00 93.00)
    distilled - student  +2.00 ± 1.41 points, above 0 in 2 of 2
    >>> found = report.over_seeds(
    ...     {"student": {0: 0.90, 1: 0.92, 2: 0.91}, "distilled": {0: 0.93, 1: 0.94, 2: 0.94}}
    ... )
    >>> found.verdict
    'BETTER'

    Reference:
        - [Dietterich, Approximate Statistical Tests for Comparing Supervised Classification
            Learning Algorithms, 1998](https://doi.org/10.1162/089976698300017197)
    """
    if not isinstance(teacher, Mapping):
        if student is None or distilled is None:
            what = "Scores must come as a dict by method, or as three sequences"
            received = "fewer sequences"
            mend = "Pass e.g. {'student': alone, 'distilled': distilled} without a teacher's scores"
            raise refusal(what, received=received, mend=mend, error=TypeError)
        return verdicts.over_seeds(teacher, student, distilled)
    confidence = check_number("confidence", confidence, "from 0 to 1", example=0.95)
    if confidence in (0.0, 1.0):
        raise wrong("confidence", "lie between 0 and 1, without these", confidence, example=0.95)
    margin = check_number("margin", margin, "at least 0", example=0.002)
    scores = _checked(teacher)
    before, after = (list(by_seed.values()) for by_seed in list(scores.values())[-2:])
    difference = paired(before, after)
    test = _tested(before, after, confidence) if difference.count >= _ENOUGH else None
    said, why = _verdict(test, difference, confidence, margin)
    p_value, interval = test or (None, None)
    return SeedsComparison(scores, difference, interval, p_value, said, why, confidence, margin)


def _checked(given: Mapping) -> dict[str, dict[str, float]]:
    scores = {}
    for name, values in given.items():
        by_seed = values if isinstance(values, Mapping) else dict(enumerate(values))
        scores[str(name)] = {str(seed): float(by_seed[seed]) for seed in sorted(by_seed, key=str)}
    seeds = {name: list(by_seed) for name, by_seed in scores.items()}
    if len(scores) < 2 or len({tuple(each) for each in seeds.values()}) > 1:
        raise refusal(
            "scores must come from the same seeds for a student and a distilled student",
            expected="two methods or more, with a score for each of the same seeds",
            received=f"seeds {seeds}",
            mend="Train what is missing, or leave out seeds that not all of them have",
        )
    for name, by_seed in scores.items():
        for score in by_seed.values():
            verdicts.check_share(f"each score of {name!r}", score)
    return _in_order(scores)


def _in_order(scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Returns the scores with those that are compared at the end."""
    roles = {name.lower(): name for name in scores}
    if not {"student", "distilled"} <= roles.keys():
        return scores
    compared = [roles[role] for role in ("student", "distilled")]
    return {name: scores[name] for name in [*(n for n in scores if n not in compared), *compared]}


def _tested(
    before: list[float], after: list[float], confidence: float
) -> tuple[float, tuple[float, float]]:
    """Returns the p-value and the interval of the mean difference."""
    differences = np.subtract(after, before)
    if np.ptp(differences) < 1e-12:  # the statistic would divide by 0
        mean = float(differences.mean())
        return (1.0 if abs(mean) < 1e-12 else 0.0), (mean, mean)
    stats = require("scipy.stats", extra="report")
    result = stats.ttest_rel(after, before)
    low, high = result.confidence_interval(confidence)
    return float(result.pvalue), (float(low), float(high))


def _verdict(
    test: tuple[float, tuple[float, float]] | None,
    difference: Spread,
    confidence: float,
    margin: float,
) -> tuple[str, str]:
    if test is None:
        return "INCONCLUSIVE", f"{difference.count} seeds are too few for a test; train {_ENOUGH}."
    p_value, (low, high) = test
    words = (
        f"paired t-test over {difference.count} seeds, p = {p_value:.3g}; {100 * confidence:g} % "
        f"interval of the difference {100 * low:+.2f} to {100 * high:+.2f} points"
    )
    if low > 0:
        return "BETTER", f"{words}."
    if high < 0:
        return "WORSE", f"{words}."
    if high < margin:
        return "NO BETTER", f"{words}, below the {100 * margin:g} points that would matter."
    return "INCONCLUSIVE", f"{words}; more seeds would narrow it."
