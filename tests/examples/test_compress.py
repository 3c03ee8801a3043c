"""The example of compression in a process of its own, at its smallest setting."""

import pathlib
import subprocess
import sys

import pytest

# .ci/run runs it.
pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "compress.py"


def test_prints_the_sizes_of_three_files(tmp_path):
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--epochs=1", f"--output={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[-3:]
    assert [line.split()[0] for line in lines] == ["float32", "int8", "all_together"]
    gzipped = [int(line.split()[3].replace(",", "")) for line in lines]
    assert gzipped == sorted(gzipped, reverse=True)
