import doctest

import keras
import numpy as np
import pytest

from keras_kd import report
from keras_kd.report import costs, mac_counts, measures, seeds

scipy = pytest.importorskip("scipy.stats", reason="SciPy is not installed", exc_type=ImportError)


def found(differences, **options):
    student = np.linspace(0.80, 0.82, len(differences))
    scores = {"student": student, "distilled": student + differences}
    return report.over_seeds(scores, **options)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.010, 0.012, 0.011, 0.013], "BETTER"),
        ([-0.010, -0.012, -0.011, -0.013], "WORSE"),
        ([0.0005, -0.0005, 0.0004, -0.0006, 0.0001], "NO BETTER"),
        ([0.02, -0.02, 0.01], "INCONCLUSIVE"),
        ([0.02, 0.03], "INCONCLUSIVE"),
        ([0.02, 0.02, 0.02], "BETTER"),
        ([0.0, 0.0, 0.0], "NO BETTER"),
    ],
)
def test_verdicts(differences, verdict):
    assert found(np.array(differences)).verdict == verdict


def test_the_interval_is_student_t():
    differences = np.array([0.010, 0.013, 0.002, 0.006, 0.011])
    result = found(differences)
    error = differences.std(ddof=1) / np.sqrt(5)
    reach = 2.7764451051977987 * error  # the quantile 0.975 of t with 4 degrees of freedom
    want = (differences.mean() - reach, differences.mean() + reach)
    assert result.interval == pytest.approx(want, rel=1e-9)
    assert "paired t-test over 5 seeds, p = " in str(result)
    assert '"verdict": "BETTER"' in result.to_json()


def test_student_and_distilled_are_known_by_their_names():
    pytest.importorskip("scipy")
    scores = {"Distilled": [0.93, 0.94, 0.94], "Student": [0.90, 0.92, 0.91], "x": [0.5, 0.6, 0.7]}
    found = report.over_seeds(scores)
    assert (found.verdict, list(found.scores)) == ("BETTER", ["x", "Student", "Distilled"])


def test_too_few_seeds_say_so():
    result = found(np.array([0.02, 0.03]))
    assert "2 seeds are too few" in str(result)
    assert result.p_value is result.interval is None


def test_wrong_use():
    with pytest.raises(ValueError, match=r"same seeds for .*'a': \['0', '1'\], 'b': \['0', '2'\]"):
        report.over_seeds({"a": {0: 0.5, 1: 0.5}, "b": {0: 0.5, 2: 0.5}})
    with pytest.raises(ValueError, match="same seeds"):
        report.over_seeds({"a": [0.5, 0.6], "b": [0.5]})
    with pytest.raises(ValueError, match="each score of 'b' must be a share"):
        report.over_seeds({"a": [0.5, 0.6], "b": [50, 60]})
    for confidence in (0.0, 1.0):
        with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
            report.over_seeds({"a": [0.5, 0.6], "b": [0.5, 0.7]}, confidence=confidence)
    with pytest.raises(TypeError, match="must come as a dict by method, or as three sequences"):
        report.over_seeds([0.5, 0.6], [0.5, 0.7])
    mixed = report.over_seeds({"a": {1: 0.5, "x": 0.6}, "b": {"x": 0.7, 1: 0.5}})
    assert mixed.scores["b"] == {"1": 0.5, "x": 0.7}
    with pytest.raises(ValueError, match="scores must come from several seeds"):
        report.over_seeds({"a": [0.5], "b": [0.5]})


@pytest.mark.parametrize("name", ["costs", "mac_counts", "measures", "seeds"])
def test_examples(name):
    module = {"costs": costs, "mac_counts": mac_counts, "measures": measures, "seeds": seeds}[name]
    found = doctest.testmod(module, extraglobs={"report": report, "keras": keras})
    assert found.attempted
    assert not found.failed
