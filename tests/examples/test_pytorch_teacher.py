"""The example of a PyTorch teacher in a process of its own, at its smallest setting."""

import pathlib
import subprocess
import sys

import pytest

# .ci/run runs it.
pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "pytorch_teacher.py"


def test_teaches_online_and_from_stored_answers():
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--epochs=1", "--seeds=1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()[-3:]] == [
        "student, no teacher",
        "student, online",
        "student, stored",
    ]
