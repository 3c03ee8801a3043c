"""The example of features in a process of its own, at its smallest setting."""

import pathlib
import subprocess
import sys

import pytest

# .ci/run runs it.
pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "features.py"


def test_compares_features_with_soft_targets(tmp_path):
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--epochs=1", "--images=128", f"--output={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    methods = [line[:13].strip() for line in done.stdout.splitlines()[-4:]]
    assert methods == ["teacher", "no teacher", "soft targets", "features"]
    assert "attention_transfer: " in done.stdout
    assert (tmp_path / "scores_digits.json").exists()
