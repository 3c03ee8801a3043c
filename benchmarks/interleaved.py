"""Interleaved medians in one process: a fair comparison on a machine that others share."""

import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata

from keras_kd.export.file_report import cpu_name

RESULTS = pathlib.Path(__file__).parent / "results"


def measure(
    systems: dict[str, Callable[[], None]], rounds: int, progress: Callable[[str], None] = print
) -> dict[str, list[float]]:
    """Runs all systems in turn, `rounds` times over, after one uncounted round.

    Args:
        systems: Callables by name; each returns when its work is done.
        rounds: Counted rounds.
        progress: Called with a line after each round.

    Returns:
        Seconds of each round by name.
    """
    seconds = {name: [] for name in systems}
    for number in range(rounds + 1):
        start = time.perf_counter()
        for name, run in systems.items():
            before = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - before)
        left = (rounds - number) * (time.perf_counter() - start)
        progress(f"round {number}/{rounds}, about {left:.0f} s left")
    return seconds


def summary(values: list[float]) -> dict[str, float]:
    """Returns median and quartiles."""
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "q1": low, "q3": high}


def save(name: str, command: str, results: dict) -> pathlib.Path:
    """Writes `results/<name>.json` with versions and machine; returns its path."""
    packages = ("keras", "tensorflow", "numpy", "ai-edge-litert")
    record = {
        "command": command,
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version()}
        | {package: metadata.version(package) for package in packages},
        "results": results,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path
