"""The tables of README.md and the documentation, made of `results/accuracy.json`."""

import json
import pathlib

from accuracy_suite import results

_AUTO = 'alpha 0.5, temperature "auto"'  # finds in stored answers what has the confidence 0.8
_PAPERS = {"alpha 0.1, T 4": "alpha 0.1, temperature 4"}
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
    "views, default": "defaults",
    "views, alpha 0.5, confidence 0.8": _AUTO,
    "views, dist, weight 2": "DIST, weight 2",
}
_PEER = {
    "keras.distillation, default": "keras.distillation",
    "keras.distillation, mended": "keras.distillation, mended",
}
_DEFAULT = {"default": "defaults"}
_RECIPES = (
    _DEFAULT
    | {"alpha 0.5, confidence 0.8, student 0.5": "alpha 0.5, else defaults"}
    | {"alpha 0.5, confidence 0.8": _AUTO}
    | _PAPERS
    | {"dist, weight 2": _LOSSES["dist, weight 2"]}
    | {"squared error": "squared error, 0.5 and 0.5"}
)
# What to do, and which result shows it: task and method.
_SITUATIONS = [
    ("images, a tiny student", "the defaults", "default", ["digits", "fashion_5k", "fashion_20k"]),
    ("text, many classes", "`Term(DIST())` beside the labels", "dist, weight 2", ["banking77"]),
    (
        "text, and time for more epochs",
        "views by word dropout, `Term(DIST())`",
        "views, dist, weight 2",
        ["banking77"],
    ),
    (
        "a teacher that has memorised its data (confidence near 1)",
        '`alpha=0.5, temperature="auto"`: Hinton\'s loss',
        "alpha 0.5, confidence 0.8",
        ["cifar10"],
    ),
    (
        "few labels, many examples without (`-1`)",
        "`alpha=0.1, temperature=4.0`",
        "alpha 0.1, T 4",
        ["fashion_1pct", "fashion_10pct"],
    ),
    (
        "no labels",
        "`loss=None`",
        "alpha 0, confidence 0.8, student 0.5",
        ["fashion_1pct", "fashion_5k"],
    ),
    ("labels that do not exclude each other", "the defaults", "default", ["labels"]),
    (
        "a teacher that is unsure already (confidence below 0.8)",
        "the student alone: nothing is gained here",
        "default",
        ["forest"],
    ),
    (
        "numbers",
        "`Term(MeanSquaredError(), weight=0.5)`, `hard_weight=0.5`: no gain here",
        "squared error",
        ["regression"],
    ),
]


def write_all(path: pathlib.Path) -> None:
    """Writes all tables between their marks."""
    found = json.loads(path.read_text())["results"]
    readme = _DEFAULT | _PAPERS | _PEER
    tables = {
        ("README.md", "accuracy"): results.task_table(found, readme, "test"),
        ("docs/recipes.md", "tasks"): results.task_table(found, _RECIPES),
        ("docs/recipes.md", "test"): results.task_table(found, _RECIPES, "test"),
        ("docs/recipes.md", "views"): results.task_table(found, _VIEWS, baseline="views, alone"),
        ("docs/recipes.md", "defaults"): results.verdict_table(found),
        ("docs/recipes.md", "situations"): situations(found),
        ("docs/losses.md", "weights"): results.task_table(found, _LOSSES),
    }
    for (file, name), table in tables.items():
        results.write_between_marks(file, name, table)


def situations(found: results.Results) -> str:
    """Returns a row for each situation: what to do, what it brought, how to train it again."""
    rows = []
    for situation, recipe, method, tasks in _SITUATIONS:
        baseline = "views, alone" if method.startswith("views") else results.ALONE
        known = [task for task in tasks if task in found]
        gains = {t: results.differences(found[t], method, baseline=baseline) for t in known}
        brought = ", ".join(
            f"`{task}` {results.spread(gain, signed=True)}" for task, gain in gains.items() if gain
        )
        again = f'`--tasks={",".join(tasks)} --methods="{method}"`'
        rows.append(f"| {situation} | {recipe} | {brought} | {again} |")
    header = "| situation | recipe | points above the student alone | train it again |"
    return "\n".join([header, "| :--- | :--- | :--- | :--- |", *rows])
