"""The arithmetic of the accuracy suite's tables, without training anything."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
from accuracy_suite import results, scores


def task(**methods):
    return {"methods": {name: {"held_out": values} for name, values in methods.items()}}


def test_differences_pair_seed_by_seed():
    single = task(alone={"0": 80.0, "1": 90.0}, other={"1": 91.0, "2": 70.0})
    assert results.differences(single, "other") == [1.0]


def test_verdict_ranks_methods_by_their_means_on_all_tasks():
    first = "alpha 0.1, T 4"
    tasks = {
        "a": task(alone={"0": 80.0}, better={"0": 82.0}, **{first: {"0": 79.0}}),
        "b": task(alone={"0": 50.0}, better={"0": 51.0}, **{first: {"0": 51.0}}),
    }
    best, last = results.verdict(tasks, seeds=1)
    assert (best["method"], last["method"]) == ("better", first)
    assert [best["worst"], best["tasks_above"], best["mean_rank"]] == [1.0, 2, 1.25]
    assert [last["worst"], last["tasks_above"]] == [-1.0, 1]


def test_scores_are_percentages():
    np = pytest.importorskip("numpy")
    assert scores.accuracy(np.array([0, 1]), np.array([[2.0, 1.0], [2.0, 1.0]])) == 50.0
    y = np.array([[0.0], [1.0], [2.0]])
    assert scores.explained_variance(y, y) == 100.0
