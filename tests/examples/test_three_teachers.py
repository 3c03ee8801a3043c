"""The example of an ensemble in a process of its own, at its smallest setting."""

import pathlib
import subprocess
import sys

import pytest

# .ci/run runs it.
pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "three_teachers.py"


def test_compares_the_ensemble_with_its_best_member():
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--epochs=1", "--seeds=1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| Member  | Weight |" in done.stdout
    students = [line.split(":")[0] for line in done.stdout.splitlines()[-3:]]
    assert students[0] == "student, no teacher"
    assert students[1].startswith("student, best member (")
    assert students[2] == "student, ensemble"
