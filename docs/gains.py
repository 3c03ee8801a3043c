"""Draws the README's picture from benchmarks/results/accuracy.json: what distilling adds, by task.

python docs/gains.py
"""

import json
import pathlib
import statistics
import sys

from keras_kd.report import plots

# ruff: noqa: E402
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from accuracy_suite.results import differences

METHOD = "default"


def picture(gains, dark):
    """Returns bars of the mean, and a point for each seed."""
    figure, (axis,), colors = plots._figure(size=(7.2, 3.1), dark=dark)
    blue, orange = plots._COLORS[4:6]
    for place, (_, points) in enumerate(gains):
        mean = statistics.mean(points)
        axis.barh(place, mean, 0.62, color=blue if mean > 0 else orange)
        axis.scatter(
            points, [place] * len(points), s=9, color=colors["ink"], zorder=3, linewidths=0
        )
        end = max(0, *points) + 0.25
        axis.text(end, place, f"{mean:+.1f}", va="center", color=colors["ink"], fontsize=9)
    axis.set_yticks(range(len(gains)), [task for task, _ in gains])
    axis.axvline(0, color=colors["ink"], linewidth=0.8)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=colors["faint"], linewidth=0.5)
    axis.set_axisbelow(True)
    axis.set_xlabel("points above the same student trained alone; a dot is a seed")
    return figure


def main():
    results = json.loads((ROOT / "benchmarks/results/accuracy.json").read_text())["results"]
    gains = {task: differences(found, METHOD, "test") for task, found in results.items()}
    gains = sorted(
        ((task, points) for task, points in gains.items() if points),
        key=lambda each: statistics.mean(each[1]),
    )
    for dark in (False, True):
        path = ROOT / "docs" / "images" / f"gains_{'dark' if dark else 'light'}.png"
        path.parent.mkdir(exist_ok=True)
        picture(gains, dark).savefig(path, dpi=110, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
