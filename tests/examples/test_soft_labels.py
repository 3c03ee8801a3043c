"""The example of stored soft labels in a process of its own, at its smallest setting."""

import pathlib
import subprocess
import sys

import pytest

# .ci/run runs it.
pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "soft_labels.py"


def test_prints_teacher_student_and_distilled_student(tmp_path):
    pytest.importorskip("sklearn")
    settings = ["--dataset=digits", "--epochs=1", "--views=2", "--seeds=1", "--images=256"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *settings, f"--labels={tmp_path / 'labels'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "512 answers to write (256 samples x 2 views in all)" in done.stdout
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[-2:]] == ["student", "distilled"]
    assert (tmp_path / "labels_teacher.keras").exists()
    assert (tmp_path / "labels" / "manifest.json").exists()
