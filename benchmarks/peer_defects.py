"""Which of the known traps of distillation do keras_kd and keras.distillation step into?

Question: how many of the behaviours that `tests/traps` asks for does each library have? The
tests are written once and run on both.

Baseline: `keras.distillation` of the installed Keras, used as documented, its loss mended after
line 1.

    python benchmarks/peer_defects.py
"""

import pathlib
import re

import keras
import pytest
from absl import app, flags
from interleaved import save

_KEEP = flags.DEFINE_bool("keep", True, "Whether to write the outcomes to results/.")

ROOT = pathlib.Path(__file__).resolve().parents[1]
SYSTEMS = ("keras_kd", "keras.distillation")
OUTCOMES = {"passed": "pass", "failed": "fail", "skipped": "not applicable"}
NODE = re.compile(r"test_(?P<line>\d+)_(?P<what>\w+)\[(?P<system>[\w.]+)(-(?P<case>\w+))?\]")


class Outcomes:
    """Collects the outcome of each line and system, and the first line of what went wrong."""

    def __init__(self):
        self.rows = {}

    def pytest_runtest_logreport(self, report):
        """Notes a test's outcome; what went wrong in its preparation counts, too."""
        match = NODE.search(report.nodeid)
        if match and (report.when == "call" or report.outcome != "passed"):
            case = f" ({match['case']})" if match["case"] else ""
            line = f"{match['line']} {match['what'].replace('_', ' ')}{case}"
            row = {"outcome": OUTCOMES[report.outcome]}
            if report.outcome == "failed":
                row["because"] = report.longrepr.reprcrash.message.splitlines()[0]
            self.rows.setdefault(line, {})[match["system"]] = row


def table(rows):
    """Returns the outcomes as text, a line each, and the sums."""
    width = max(map(len, rows))
    lines = [f"{'':{width}}  {SYSTEMS[0]:16}{SYSTEMS[1]}"]
    for name, row in sorted(rows.items()):
        outcomes = [row.get(system, {"outcome": "not run"})["outcome"] for system in SYSTEMS]
        lines.append(f"{name:{width}}  {outcomes[0]:16}{outcomes[1]}")
    passed = [
        sum(row.get(system, {}).get("outcome") == "pass" for row in rows.values())
        for system in SYSTEMS
    ]
    lines.append(f"{f'passed of {len(rows)}':{width}}  {passed[0]!s:16}{passed[1]}")
    return "\n".join(lines)


def main(_):
    outcomes = Outcomes()
    options = ["-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-m", "peer or not peer"]
    pytest.main([*options, f"--rootdir={ROOT}", str(ROOT / "tests/traps")], [outcomes])
    print(f"\nKeras {keras.__version__} on {keras.backend.backend()}\n\n{table(outcomes.rows)}")
    if _KEEP.value:
        path = save("peer_defects", "python benchmarks/peer_defects.py", outcomes.rows)
        print("\nwritten to", path.name)


if __name__ == "__main__":
    app.run(main)
