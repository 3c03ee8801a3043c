"""Folders that earlier versions have written."""

import functools
import pathlib
import shutil

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import soft_labels
from keras_kd.soft_labels.storage import manifest

pytestmark = pytest.mark.tensorflow

FORMAT_1 = pathlib.Path(__file__).parent / "format_1"
X = (np.arange(260 * 16).reshape(260, 4, 4, 1) * 7 % 4).astype("uint8")
WEIGHTS = np.arange(32).reshape(16, 2).astype("float32") % 5 - 2
BIAS = np.array([1, -1], "float32")


@pytest.fixture
def folder(tmp_path):
    """Returns a copy of a folder of format 1."""
    return pathlib.Path(shutil.copytree(FORMAT_1, tmp_path / "labels"))


def write(folder):
    """Calls `write` as it was called for the folder; the answers are whole numbers."""
    teacher = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    teacher.set_weights([WEIGHTS, BIAS])
    augment = functools.partial(soft_labels.crop_flip, padding=1)
    return keras_kd.SoftLabels.write(
        folder, teacher=teacher, data=X, augment=augment, views=4, verbose=0
    )


def everything(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check(soft):
    for batch, ids in soft.dataset(X, np.arange(260), batch_size=130, shuffle=False):
        pixels, answers = batch["keras_kd.input"], batch["keras_kd.answers"]["output"]
        expected = np.reshape(pixels, (130, 16)).astype("float32") @ WEIGHTS + BIAS
        np.testing.assert_array_equal(answers, expected)
        assert len(ids) == 130


def test_a_folder_of_format_1_is_opened(folder):
    check(keras_kd.SoftLabels.open(folder, verify="full"))


def test_the_same_call_finds_a_folder_of_format_1(folder):
    before = everything(folder)
    check(write(folder))
    assert everything(folder) == before


def test_a_write_of_format_1_that_was_killed_goes_on(folder):
    before = everything(folder)
    path = folder / manifest.NAME
    content = manifest.from_bytes(path.read_bytes(), path)
    path.write_bytes(manifest.to_bytes({**content, "shards": None}))
    next(folder.glob("shard-000001*")).unlink()
    check(write(folder))
    assert everything(folder) == before
