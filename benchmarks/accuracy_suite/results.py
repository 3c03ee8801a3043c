"""What all cells say together: one JSON, a table, a verdict on each choice."""

import pathlib
import re
import statistics
from typing import Any

ALONE = "alone"
_BY_SEED = ("held_out", "test", "temperature", "seconds", "cpu_seconds")
_ROOT = pathlib.Path(__file__).resolve().parents[2]
Results = dict[str, dict[str, Any]]


def collect(cells: Any, tasks: list[Any], methods: list[Any]) -> Results:
    """Returns the scores of all cells by task and method, by seed."""
    results = {}
    for task in tasks:
        by_method = {m.name: found for m in methods if (found := _found(cells, task, m))}
        if by_method:
            results[task.name] = {
                "teacher": cells.teacher_facts(task),
                "kind": task.kind,
                "student_parameters": task.student().count_params(),
                "epochs": task.epochs,
                "methods": by_method,
            }
    return results


def merged(last: Results, new: Results, tasks: list[Any], methods: list[Any]) -> Results:
    """Returns new results with those of earlier runs that are made of the same code and settings.

    Args:
        last: As of `collect`.
        new: As of `collect`.
        tasks: All tasks.
        methods: All methods.
    """
    together = {}
    for task in tasks:
        runs = [run[task.name] for run in (last, new) if task.name in run]
        by_method = {}
        for method in methods:
            made = method.definition(task)
            entries = [run["methods"].get(method.name, {}) for run in runs]
            entries = [each for each in entries if each.get("definition") == made]
            if entries:
                by_method[method.name] = _joined(entries) | {"definition": made}
        if by_method:
            together[task.name] = runs[-1] | {"methods": by_method}
    return together


def _joined(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what is there by seed, of the last entry that has it."""
    joined: dict[str, Any] = {}
    for entry in entries:
        for name in _BY_SEED:
            joined.setdefault(name, {}).update(entry.get(name, {}))
    by_seed = {
        name: dict(sorted(values.items(), key=lambda each: int(each[0])))
        for name, values in joined.items()
    }
    return {name: values for name, values in by_seed.items() if values}


def _found(cells: Any, task: Any, method: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for seed in range(100):
        cell = cells.read(task, method, seed) if method.suits(task) else None
        for what in _BY_SEED:
            if cell and what in cell:
                found.setdefault(what, {})[str(seed)] = cell[what]
    return found and {"definition": method.definition(task)} | found


def differences(
    task: dict[str, Any], method: str, part: str = "held_out", baseline: str = ALONE
) -> list[float]:
    """Returns the points above the student alone, seed by seed."""
    scores, alone = (task["methods"].get(name, {}).get(part, {}) for name in (method, baseline))
    return [scores[seed] - alone[seed] for seed in scores if seed in alone]


def verdict(results: Results, part: str = "held_out", seeds: int = 3) -> list[dict[str, Any]]:
    """Returns, for each method on all tasks of classes or labels, what it is worth.

    Only methods that were trained on all of them, with so many seeds, are compared.
    """
    tasks = {name: task for name, task in results.items() if task["kind"] != "numbers"}
    names = {n for t in tasks.values() for n in t["methods"] if differences(t, n, part)}
    names = {n for n in names if all(len(differences(t, n, part)) >= seeds for t in tasks.values())}
    means = {n: [statistics.mean(differences(t, n, part)) for t in tasks.values()] for n in names}
    ranks = {n: [] for n in names}
    for column in range(len(tasks)):
        values = [round(means[name][column], 6) for name in names]
        for name in names:
            own = round(means[name][column], 6)
            better = sum(value > own for value in values)
            ranks[name].append(better + (values.count(own) + 1) / 2)  # ties share their ranks
    rows = [
        {
            "method": name,
            "mean_rank": round(statistics.mean(ranks[name]), 2),
            "worst": round(min(means[name]), 2),
            "mean": round(statistics.mean(means[name]), 2),
            "median": round(statistics.median(means[name]), 2),
            "tasks_above": sum(value > 0 for value in means[name]),
            "tasks": len(tasks),
            "seeds": min(len(differences(t, name, part)) for t in tasks.values()),
        }
        for name in names
    ]
    return sorted(rows, key=lambda row: (row["mean_rank"], row["method"]))


def spread(values: list[float], signed: bool = False) -> str:
    """Returns mean ± standard deviation."""
    mean = f"{statistics.mean(values):+.2f}" if signed else f"{statistics.mean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Returns a table; all columns but the first are numbers."""
    rule = [":---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def task_table(
    results: Results, methods: dict[str, str], part: str = "held_out", baseline: str = ALONE
) -> str:
    """Returns a row for each task: teacher, student alone, and points above it by method.

    Args:
        results: As of `collect`.
        methods: The columns' titles by the names of methods.
        part: `"held_out"` or `"test"`.
        baseline: The student alone that methods are compared with.
    """
    methods = {
        name: title
        for name, title in methods.items()
        if any(differences(task, name, part, baseline) for task in results.values())
    }
    taught = all(part in task["teacher"] for task in results.values())
    header = ["task", "student's parameters", *["teacher"] * taught, "student alone"]
    header += methods.values()
    rows = []
    for name, task in results.items():
        alone = list(task["methods"].get(baseline, {}).get(part, {}).values())
        if not alone:
            continue
        cells = [differences(task, method, part, baseline) for method in methods]
        rows.append(
            [
                name,
                f"{task['student_parameters']:,}",
                *([f"{task['teacher'][part]:.2f}"] if taught else []),
                spread(alone),
                *(spread(cell, signed=True) if cell else "" for cell in cells),
            ]
        )
    return markdown(header, rows)


def verdict_table(results: Results, part: str = "held_out") -> str:
    """Returns a row for each method that all tasks have, the best mean rank first."""
    rows = [
        [
            row["method"],
            f"{row['mean_rank']:.2f}",
            f"{row['mean']:+.2f}",
            f"{row['median']:+.2f}",
            f"{row['worst']:+.2f}",
            f"{row['tasks_above']} of {row['tasks']}",
            str(row["seeds"]),
        ]
        for row in verdict(results, part)
    ]
    points = ["mean", "median", "worst task"]
    return markdown(["method", "mean rank", *points, "above the student alone", "seeds"], rows)


def write_between_marks(path: str, name: str, text: str) -> None:
    """Replaces what stands between the marks of a name in a file of the project.

    Raises:
        ValueError: If the file has no such marks.
    """
    start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    file = _ROOT / path
    content = file.read_text(encoding="utf-8")
    if start not in content or end not in content:
        raise ValueError(f"{path} has no {start} ... {end}")
    pattern = re.escape(start) + r".*?" + re.escape(end)
    content = re.sub(pattern, lambda _: f"{start}\n{text}\n{end}", content, flags=re.DOTALL)
    file.write_text(content, encoding="utf-8")
