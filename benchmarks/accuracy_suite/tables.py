"""The tables of README.md and docs/recipes.md, made of `results/accuracy.json`."""

import json
import pathlib

from accuracy_suite import results

_DEFAULT = "alpha 0.5, confidence 0.8"
# Titles of the columns by method.
_README = {
    _DEFAULT: "keras_kd's default",
    "alpha 0.1, T 4": "alpha 0.1, temperature 4",
    "keras.distillation, default": "keras.distillation's default",
}


def write_all(path: pathlib.Path) -> None:
    """Writes all tables between their marks."""
    found = json.loads(path.read_text())["results"]
    results.write_between_marks("README.md", "accuracy", results.task_table(found, _README))
    results.write_between_marks("docs/recipes.md", "defaults", results.verdict_table(found))
