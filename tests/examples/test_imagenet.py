"""The ImageNet example in a process of its own, on forty pictures laid out like the data set."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

# .ci/run runs it.
pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).parents[2] / "examples" / "imagenet.py"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Returns a folder in which `tfds.load("imagenet2012")` finds a few pictures of noise."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("data")
    builder = tfds.builder("imagenet2012", data_dir=str(folder))
    random = np.random.default_rng(0)

    def pictures(count):
        for number in range(count):
            height, width = random.integers(40, 80, 2)
            image = random.integers(0, 256, (height, width, 3)).astype("uint8")
            name = f"{number}.jpg"
            yield name, {"image": image, "label": int(number % 7), "file_name": name}

    builder._split_generators = lambda *_: {"train": pictures(24), "validation": pictures(16)}
    builder.download_and_prepare()
    return folder


@pytest.fixture(scope="module")
def teacher_weights(tmp_path_factory):
    """Returns a file of weights that tell pictures apart, which fresh ones do not."""
    teacher = keras.applications.MobileNetV2((32, 32, 3), weights=None)
    kernel = teacher.layers[-1].kernel
    kernel.assign(1e12 * kernel)
    path = tmp_path_factory.mktemp("teacher") / "teacher.weights.h5"
    teacher.save_weights(path)
    return path


@pytest.mark.parametrize("views", [2, 0])
def test_prints_what_it_reached_beside_what_was_published(
    data_dir, teacher_weights, tmp_path, views
):
    small = ["--teacher=MobileNetV2", f"--teacher_weights={teacher_weights}"]
    small += ["--student=MobileNetV2"]
    small += ["--size=32", "--batch=8", "--epochs=1", f"--views={views}", "--policy=mixed_bfloat16"]
    folders = [f"--data_dir={data_dir}", f"--output={tmp_path / 'out'}"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *small, *folders, "--runs=alone", "--runs=distilled"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[-3:]]
    assert [row[0] for row in rows] == ["teacher", "alone", "distilled"]
    assert [row[-2] for row in rows] == ["77.98", "76.32", "77.75"]
    assert (tmp_path / "out" / "distilled.keras").exists()
