"""The quickstart in a process of its own, at its smallest setting."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from keras_kd import export

# .ci/run runs it.
pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "quickstart.py"
# No int8 file is that close to Keras: the export's own check fails, as it would in earnest.
# The float files and all training are left out to save time.
STRICT = """
import runpy, sys
import keras, keras_kd
tflite = keras_kd.export.tflite
keras_kd.export.tflite = lambda model, path, quantization, calibration: tflite(
    model, path, "int8", calibration=calibration, tolerance=1e-6
)
keras.Model.fit = lambda *args, **kwargs: None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def quickstart(folder, *before):
    pytest.importorskip("sklearn")
    return subprocess.run(
        [sys.executable, *before, str(SCRIPT), "--epochs=1", f"--output={folder}"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart") / "exported"
    return folder, quickstart(folder)


def test_prints_table_and_verdict(finished):
    _, done = finished
    assert done.returncode == 0, done.stderr
    *_, header, _, teacher, student, distilled, int8, blank, verdict = done.stdout.splitlines()
    assert re.fullmatch(r"\| Method +\| Parameters \| Model size \| +Top-1 \|", header)
    line = r"\| {} +\| +{} \| +\d+\.\d kB \| +\d+\.\d\d % \|"
    assert re.fullmatch(line.format("teacher", "73,114"), teacher)
    assert re.fullmatch(line.format("student", "1,662"), student)
    assert re.fullmatch(line.format("distilled", "1,662"), distilled)
    assert re.fullmatch(line.format("distilled int8", "1,662"), int8)
    assert blank == ""
    assert verdict.startswith(("Distillation ", "There is no gap to close"))


def test_shows_progress(finished):
    _, done = finished
    assert done.stdout.count("19/19") >= 3
    assert "soft_targets: " in done.stdout


def test_writes_files_that_run(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in folder.iterdir())
    assert files == [
        "distilled",
        "distilled.tflite",
        "distilled_int8.tflite",
        "student.tflite",
        "teacher.tflite",
    ]
    assert (folder / "distilled" / "saved_model.pb").exists()
    images = np.arange(128.0).reshape(2, 8, 8, 1) % 17
    assert export.predict(folder / "distilled_int8.tflite", images).shape == (2, 10)


def test_a_failed_verification_is_a_failed_run(tmp_path):
    done = quickstart(tmp_path, "-c", STRICT)
    assert done.returncode != 0
    assert "VerificationError" in done.stderr
    assert list(tmp_path.glob("*.tflite")) == []
    assert "Top-1" not in done.stdout
