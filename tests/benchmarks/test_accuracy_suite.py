"""The arithmetic of the accuracy suite's tables, without training anything."""

import functools
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
from accuracy_suite import definitions, results, scores


def task(kind="classes", **methods):
    return {
        "kind": kind,
        "methods": {name: {"held_out": values} for name, values in methods.items()},
    }


def test_differences_pair_seed_by_seed():
    single = task(alone={"0": 80.0, "1": 90.0}, other={"1": 91.0, "2": 70.0})
    assert results.differences(single, "other") == [1.0]


def test_verdict_ranks_methods_by_their_means_on_all_tasks():
    first = "alpha 0.1, T 4"
    tasks = {
        "a": task(alone={"0": 80.0}, better={"0": 82.0}, **{first: {"0": 79.0}}),
        "b": task(alone={"0": 50.0}, better={"0": 51.0}, **{first: {"0": 51.0}}),
    }
    best, last, alone = results.verdict(tasks | {"numbers": task("numbers")}, seeds=1)
    assert alone["method"] == "alone"
    assert (best["method"], last["method"]) == ("better", first)
    assert [best["worst"], best["tasks_above"], best["mean_rank"]] == [1.0, 2, 1.25]
    assert [last["worst"], last["tasks_above"]] == [-1.0, 1]


def test_scores_are_percentages():
    np = pytest.importorskip("numpy")
    assert scores.accuracy(np.array([0, 1]), np.array([[2.0, 1.0], [2.0, 1.0]])) == 50.0
    y = np.array([[0.0], [1.0], [2.0]])
    assert scores.explained_variance(y, y) == 100.0


def double(x):
    """Doubles."""
    return 2 * x  # twice


def scaled(by):
    def multiply(x):
        return by * x

    return multiply


def test_definitions_tell_code_and_what_it_is_given_apart():
    told = [
        double,
        scaled(2),
        scaled(3),
        functools.partial(scaled, 2),
        functools.partial(scaled, 3),
    ]
    assert len({definitions.digest(each) for each in told}) == 5


class Named:
    def __init__(self, name, made="new"):
        self.name, self.made = name, made

    def definition(self, task):
        return self.made


def test_results_of_other_code_are_dropped_where_runs_are_joined():
    def run(made, scores):
        return {"a": {"methods": {"m": {"definition": made, "held_out": scores}}}}

    def joined(last, new):
        return results.merged(last, new, [Named("a")], [Named("m")])["a"]["methods"]["m"][
            "held_out"
        ]

    last, new = run("new", {"0": 1.0, "10": 4.0}), run("new", {"0": 0.5, "2": 3.0})
    assert list(joined(last, new).items()) == [("0", 0.5), ("2", 3.0), ("10", 4.0)]
    assert joined(run("old", {"0": 1.0}), new) == {"0": 0.5, "2": 3.0}
    assert joined(last, {}) == {"0": 1.0, "10": 4.0}


def test_a_table_has_what_there_is():
    found = task(alone={"0": 80.0, "1": 81.0}, better={"0": 82.0})
    run = {"a": found | {"teacher": {"held_out": 90.0}, "student_parameters": 1000}}
    header, _, row = results.task_table(run, {"better": "Better", "other": "Other"}).splitlines()
    assert header == "| task | student's parameters | teacher | student alone | Better |"
    assert row == "| a | 1,000 | 90.00 | 80.50 ± 0.71 | +2.00 |"
    assert len(results.task_table(run, {"better": "Better"}, "test").splitlines()) == 2
