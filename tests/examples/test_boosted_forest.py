"""The example of a boosted forest in a process of its own, at its smallest setting."""

import pathlib
import subprocess
import sys

import pytest

# .ci/run runs it.
pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "boosted_forest.py"


def test_writes_a_file_of_a_few_kilobytes(tmp_path):
    pytest.importorskip("sklearn")
    small = ["--trees=5", "--copies=1", "--epochs=1", "--seeds=1", f"--output={tmp_path}"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *small], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()[-3:]] == [
        "no teacher",
        "distilled",
        "student.tflite",
    ]
    assert (tmp_path / "student.tflite").stat().st_size < 8_000
