"""The notebook runs from top to bottom, and its installation leaves other packages alone."""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

# .ci/run runs it.
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "kaggle_quickstart.ipynb"
KAGGLE = ROOT / ".ci" / "kaggle.txt"
# What keras_kd adds on Kaggle and Colab.
ADDED = {"keras_kd", "ai-edge-litert", "backports.strenum", "tqdm"}


def cell(tag):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    (found,) = (each for each in cells if tag in each["metadata"].get("tags", ()))
    return "".join(found["source"])


def test_runs_from_top_to_bottom(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    context = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=context).execute()
    outputs = [output for each in notebook.cells for output in each.get("outputs", ())]
    shown = [kind for output in outputs for kind in output.get("data", ())]
    assert shown.count("image/png") == 5
    assert "text/html" in shown
    printed = "".join(output.get("text", "") for output in outputs)
    assert "paired t-test over 3 seeds" in printed
    assert (tmp_path / "student.tflite").stat().st_size < 10_000


def test_reads_the_data_set_of_kaggle(tmp_path):
    columns = ",".join(["label", *(f"pixel{n}" for n in range(1, 785))])
    for part in ("train", "test"):
        rows = np.arange(2 * 785).reshape(2, 785) % 10
        path = tmp_path / f"fashion-mnist_{part}.csv"
        np.savetxt(path, rows, fmt="%d", delimiter=",", header=columns, comments="")
    names = {"np": np, "pathlib": pathlib}
    code = cell("data").replace("DATA = None  # or", f"DATA = {str(tmp_path)!r}  #")
    exec(code, names)
    assert names["x_train"].shape == names["x_test"].shape == (2, 28, 28, 1)
    assert names["x_train"].dtype == "float32"
    assert names["x_train"].max() == np.float32(9 / 255)
    assert names["y_train"].tolist() == [0, 5]


@pytest.mark.parametrize(
    ("installed", "importable", "expected"),
    [
        (["tensorflow"], ["tensorflow"], [["keras_kd"]]),
        (["jax"], [], [["--no-deps", "keras_kd"]]),
        (["tensorflow-cpu"], ["tensorflow"], [["--no-deps", "keras_kd"], ["ai-edge-litert"]]),
        (["tensorflow"], ["tensorflow", "keras_kd"], []),
    ],
    ids=["TensorFlow", "JAX alone", "TensorFlow by another name", "already there"],
)
def test_installs_what_the_image_lacks(installed, importable, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [types.SimpleNamespace(name=name, version="1.0") for name in installed]
    calls = []
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: found)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in importable or None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command[7:]))
    exec(cell("install"), {})
    assert calls == expected
    if calls:
        assert pathlib.Path("installed.txt").read_text() == f"{installed[0]}==1.0"


@pytest.fixture
def pip():
    """Returns the command of a pip whose Python reads conditions as Kaggle's 3.12 does."""
    python = os.environ.get("KERAS_KD_KAGGLE", sys.executable)
    tell = "import sys; print(*sys.version_info[:2], sep='.')"
    version = subprocess.run([python, "-c", tell], capture_output=True, text=True, check=True)
    if version.stdout.strip() not in ("3.11", "3.12"):
        pytest.skip(f"needs Python 3.12, or 3.11: KERAS_KD_KAGGLE names {version.stdout.strip()}")
    return [python, "-m", "pip"]


def test_goes_in_beside_what_kaggle_has(tmp_path, pip):
    wheel = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(wheel, check=True)
    resolve = [*pip, "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    resolve += ["--target", "nowhere", "--python-version=3.12", "--only-binary=:all:"]
    resolve += ["--constraint", str(KAGGLE)]

    def resolved(*what):
        done = subprocess.run([*resolve, *what], capture_output=True, text=True, check=True)
        metadata = [each["metadata"] for each in json.loads(done.stdout)["install"]]
        return {each["name"]: each["version"] for each in metadata}

    there = resolved("--requirement", str(KAGGLE))
    both = resolved(*map(str, tmp_path.glob("*.whl")))
    assert both.keys() - there.keys() <= ADDED
    assert {name: both[name] for name in there} == there
