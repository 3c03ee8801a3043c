import doctest

import numpy as np
import pytest

from keras_kd import report
from keras_kd.report import verdicts


@pytest.mark.parametrize(
    ("scores", "share", "words"),
    [
        (
            (0.95, 0.75, 0.85),
            0.5,
            "Distillation closed 50.0 % of the gap of 20.00 points between teacher and student.",
        ),
        (
            (0.95, 0.70, 1.00),
            1.2,
            "Distillation closed 120.0 % of the gap of 25.00 points between teacher and student.",
        ),
        (
            (0.95, 0.75, 0.75),
            0.0,
            "Distillation did not help: +0.00 points, with the gap of 20.00 points between "
            "teacher and student.",
        ),
        (
            (0.95, 0.75, 0.70),
            -0.25,
            "Distillation did not help: -5.00 points, with the gap of 20.00 points between "
            "teacher and student.",
        ),
        (
            (0.75, 0.75, 0.80),
            None,
            "There is no gap to close: the teacher is not better than the student alone. "
            "Distilled against alone: +5.00 points.",
        ),
        (
            (0.70, 0.75, 0.74),
            None,
            "There is no gap to close: the teacher is not better than the student alone. "
            "Distilled against alone: -1.00 points.",
        ),
    ],
)
def test_gap_and_its_sentence(scores, share, words):
    assert report.gap_closed(*scores) == share
    assert report.verdict(*scores) == words


def test_gap_wants_shares():
    with pytest.raises(ValueError, match="teacher must be a share of right answers"):
        report.gap_closed(95.0, 0.7, 0.8)


def test_spread_is_the_samples_own():
    found = report.spread([0.90, 0.94, 0.92, 0.96])
    assert found.mean == pytest.approx(0.93, abs=1e-15)
    assert found.std == pytest.approx(np.std([0.90, 0.94, 0.92, 0.96], ddof=1), rel=1e-12)
    assert found.count == 4
    assert str(found) == "93.00 ± 2.58 %"


def test_paired_takes_out_what_the_seeds_share():
    found = report.paired([0.80, 0.90], [0.82, 0.91])
    assert found.points() == "+1.50 ± 0.71 points"
    assert report.paired([0.82, 0.91], [0.80, 0.90]).points() == "-1.50 ± 0.71 points"


def test_spread_of_one_seed_is_refused():
    with pytest.raises(ValueError, match="scores must come from several seeds"):
        report.spread([0.9])
    with pytest.raises(ValueError, match=r"same seeds. Expected: .* Received: lengths 2 and 1"):
        report.paired([0.9, 0.8], [0.9])


def test_over_seeds_says_all_four():
    assert report.over_seeds([0.98, 0.99], [0.90, 0.92], [0.93, 0.91]) == (
        "2 seeds, mean ± standard deviation:\n"
        "teacher              98.50 ± 0.71 % (98.00 99.00)\n"
        "student              91.00 ± 1.41 % (90.00 92.00)\n"
        "distilled            92.00 ± 1.41 % (93.00 91.00)\n"
        "distilled - student  +1.00 ± 2.83 points, above 0 in 1 of 2"
    )


def test_doctests():
    assert doctest.testmod(verdicts, extraglobs={"report": report}) == (0, 5)
