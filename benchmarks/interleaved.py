"""Interleaved medians in one process: a fair comparison on a machine that others share."""

import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

RESULTS = pathlib.Path(__file__).parent / "results"
# In seconds. Schedulers count in milliseconds; what comes in larger steps is a machine's pauses.
_SMALLEST_STEP = 0.01
_NEAR = 0.04  # of a step
_FAR = 1.25


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
    for name, values in seconds.items():
        if rounds >= 4 and (step := quantum(values)):
            raise RuntimeError(
                f"{name} takes multiples of {step:.4g} s: {values}. A machine that waits so long "
                "measures its own pauses; nothing is kept."
            )
        if rounds >= 4 and far_apart(values):
            progress(f"{name}: quartiles far apart, the machine was busy: {values}")
    return seconds


def quantum(values: list[float]) -> float | None:
    """Returns the number of which nearly all samples are multiples, `None` where there is none.

    A quarter of them must be of another multiple than most: samples that are alike are multiples
    of anything.
    """
    for parts in range(1, 9):
        step = min(values) / parts
        near = [round(v / step) for v in values if abs(v / step - round(v / step)) < _NEAR]
        others = len(near) - near.count(statistics.mode(near))
        if step >= _SMALLEST_STEP and len(near) >= 0.8 * len(values) and others >= len(values) / 4:
            return step
    return None


def far_apart(values: list[float]) -> bool:
    """Returns whether the upper quartile is more than a quarter above the lower one."""
    low, _, high = statistics.quantiles(values, n=4)
    return high > _FAR * low


def summary(values: list[float]) -> dict[str, Any]:
    """Returns median, quartiles and the samples."""
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "q1": low, "q3": high, "samples": values}


def save(name: str, command: str, results: dict) -> pathlib.Path:
    """Writes `results/<name>.json` with versions and machine; returns its path."""
    # Here, since the benchmark of two commits times trees in which this stands elsewhere.
    from keras_kd.export.file_report import cpu_name

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
