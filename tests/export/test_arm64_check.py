"""What tools/arm64_check.py asks of a file, here of this machine's own kernels."""

import importlib.util
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from keras_kd import export
from keras_kd.runtimes.litert import Runner

TOOL = Path(__file__).parents[2] / "tools" / "arm64_check.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("arm64_check", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    flags.FLAGS.mark_as_parsed()
    return module


@pytest.fixture
def file(in_process, tmp_path):
    path = tmp_path / "a.tflite"
    ids = keras.Input((6,), dtype="int32", name="ids")
    image = keras.Input((3,), name="image")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(50, 4)(ids))
    joined = keras.layers.Concatenate()([embedded, image])
    model = keras.Model([ids, image], keras.layers.Dense(5)(joined))
    export.tflite(model, path, batch_size=3)
    return path


def test_whole_batches_of_ids_and_of_values_are_drawn(tool, file):
    inputs = Runner(file.read_bytes()).inputs
    with flagsaver.flagsaver(samples=20, ids=50, low=2.0, high=3.0):
        drawn = {x.name: tool.drawn(x, np.random.default_rng(0)) for x in inputs}
    shapes = {name: array.shape for name, array in drawn.items()}
    assert shapes == {"ids": (21, 6), "image": (21, 3)}
    assert drawn["ids"].dtype == "int32"
    assert 40 < drawn["ids"].max() < 50
    assert 2 <= drawn["image"].min() < drawn["image"].max() <= 3


def test_a_file_of_whole_batches_answers_as_the_runner(tool, file, tmp_path):
    rng = np.random.default_rng(0)
    samples = {
        "ids": rng.integers(0, 50, (6, 6)).astype("int32"),
        "image": rng.normal(size=(6, 3)).astype("float32"),
    }
    np.savez(tmp_path / "samples.npz", **samples)
    (machine, version), answers = tool.answers_of(
        [sys.executable], file, tmp_path / "samples.npz", tmp_path / "answers.npz"
    )
    assert (machine, version) == (tool.platform.machine(), np.__version__)
    want = Runner(file.read_bytes()).predict(samples)
    assert list(answers) == ["output_0"]
    np.testing.assert_allclose(answers["output_0"], want["output_0"], rtol=1e-6)
