"""The tables of README.md and docs/recipes.md, made of `results/accuracy.json`."""

import json
import pathlib

from accuracy_suite import results

# Titles of the columns by method. What "auto" finds in stored answers is the confidence of 0.8.
_PLAIN = {
    "alpha 0.5, confidence 0.8": 'alpha 0.5, "auto"',
    "alpha 0.1, T 4": "alpha 0.1, temperature 4",
}
_LOSSES = {
    "dist, weight 2": "DIST, weight 2",
    "dist, weight 1": "DIST, weight 1",
    "standardized, weight 9": "standardized, weight 9",
    "standardized, weight 1": "standardized, weight 1",
    "dkd, beta 8": "DecoupledKD, beta 8",
    "dkd, beta 1, weight 0.5": "DecoupledKD, beta 1, weight 0.5",
    "nkd, weight 1": "NKD, weight 1",
    "nkd, weight 0.3": "NKD, weight 0.3",
}
_VIEWS = {
    "views, alpha 0.5, confidence 0.8": 'alpha 0.5, "auto"',
    "views, alpha 0.5, T 2": "alpha 0.5, temperature 2",
    "views, dist, weight 2": "DIST, weight 2",
}
_PEER = {
    "keras.distillation, default": "keras.distillation",
    "keras.distillation, mended": "keras.distillation, mended",
}
_NUMBERS = {"squared error": "squared error, 0.5 and 0.5"}
_RECIPES = _PLAIN | {"dist, weight 2": _LOSSES["dist, weight 2"]} | _NUMBERS


def write_all(path: pathlib.Path) -> None:
    """Writes all tables between their marks."""
    found = json.loads(path.read_text())["results"]
    tables = {
        ("README.md", "accuracy"): results.task_table(found, _PLAIN | _PEER),
        ("docs/recipes.md", "tasks"): results.task_table(found, _RECIPES),
        ("docs/recipes.md", "test"): results.task_table(found, _RECIPES, "test"),
        ("docs/recipes.md", "views"): results.task_table(found, _VIEWS, baseline="views, alone"),
        ("docs/recipes.md", "defaults"): results.verdict_table(found),
        ("docs/losses.md", "weights"): results.task_table(found, _LOSSES),
    }
    for (file, name), table in tables.items():
        results.write_between_marks(file, name, table)
