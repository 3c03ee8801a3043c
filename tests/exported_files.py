"""Students, samples, and the exported files that several tests look at."""

import importlib
import warnings

import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export.conversion import _convert
from keras_kd.export.conversion import child as child_module

# `keras_kd.export.tflite` is the function; the module of that name is reached this way.
tflite_module = importlib.import_module("keras_kd.export.tflite")


def convert_here(folder, task, signature, calibration=None):
    """Stands for `child.run` where the child process itself is not under test: ten times faster."""
    if calibration is not None:
        np.savez(folder / "calibration.npz", *(calibration[name] for name in task.inputs))
    task.write(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _convert.main(folder)


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr(child_module, "run", convert_here)


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(1).random((150, 12, 12, 1)).astype("float32")


@pytest.fixture(scope="session")
def cnn():
    keras.utils.set_random_seed(1)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((12, 12, 1), name="image"),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, name="classes"),
        ]
    )


@pytest.fixture(scope="session")
def two_by_two():
    """Inputs and outputs whose alphabetical order is not the model's."""
    keras.utils.set_random_seed(2)
    wide, narrow = keras.Input((8,), name="wide"), keras.Input((3,), name="narrow")
    hidden = keras.layers.Dense(6, activation="relu")(keras.layers.Concatenate()([wide, narrow]))
    small = keras.layers.Dense(2, name="small")(hidden)
    big = keras.layers.Dense(5, name="big")(hidden)
    return keras.Model([wide, narrow], [small, big])


@pytest.fixture(scope="session")
def pairs():
    random = np.random.default_rng(2)
    return [random.random((120, 8)).astype("float32"), random.random((120, 3)).astype("float32")]


@pytest.fixture(scope="session")
def float_file(cnn, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("float32") / "student.tflite"
    return path, export.tflite(cnn, path, verify=images)


@pytest.fixture(scope="session")
def int8_file(cnn, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "student.tflite"
    return path, export.tflite(cnn, path, quantization="int8", calibration=images[:100])


@pytest.fixture(scope="session")
def folder(cnn, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved_model") / "student"
    return path, export.saved_model(cnn, path, verify=images)
