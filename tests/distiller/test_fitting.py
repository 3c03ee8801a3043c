"""Training that was stopped goes on as if it never had been."""

import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term
from keras_kd.losses import SoftTargets

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    # Not with use_ema: Keras puts the averages into the weights at the end of every fit.
    "momentum": lambda: keras.optimizers.SGD(0.05, 0.9, nesterov=True),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3),
}


def build(optimizer="adam", terms=None):
    """Returns a Distiller with random layers, and its teacher, always the same."""
    keras.utils.set_random_seed(0)
    teacher = keras.Sequential([keras.Input((4,)), layers.Dense(16, "relu"), layers.Dense(3)])
    student = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.25, seed=1),
            layers.Dense(3),
        ]
    )
    distiller = Distiller(student=student, teacher=teacher, terms=terms and terms())
    distiller.compile(OPTIMIZERS[optimizer](), loss=CROSS_ENTROPY, metrics=["accuracy"])
    return distiller, teacher


def train(distiller, data, epochs, **fit):
    x, y = data
    keywords = {"batch_size": 5, "shuffle": False, "verbose": 0, **fit}
    return distiller.fit(x, y, epochs=epochs, **keywords).history


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_saved_and_loaded_goes_on_exactly(data, tmp_path, optimizer):
    straight, _ = build(optimizer)
    expected = train(straight, data, 4)
    first, teacher = build(optimizer)
    train(first, data, 2)
    first.save(tmp_path / "distiller.keras")
    resumed = keras.saving.load_model(tmp_path / "distiller.keras")
    resumed.teacher = teacher
    history = train(resumed, data, 4, initial_epoch=2)
    for name, values in history.items():
        assert values == pytest.approx(expected[name][2:], rel=1e-6), name
    for a, b in zip(resumed.get_weights(), straight.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(resumed.optimizer.variables, straight.optimizer.variables):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-6)


def two_terms():
    return [Term(SoftTargets(2.0), weight=3.0), keras.losses.MeanSquaredError()]


def test_live_values_go_on_too(data, tmp_path):
    first, teacher = build(terms=two_terms)
    train(first, data, 1)
    first.hard_weight.assign(0.25)
    first.terms[0].weight.assign(0.5)
    first.terms[0].temperature.assign(5.0)
    first.save(tmp_path / "distiller.keras")
    resumed = keras.saving.load_model(tmp_path / "distiller.keras")
    resumed.teacher = teacher
    histories = [train(model, data, 2, initial_epoch=1) for model in (first, resumed)]
    for name, values in histories[0].items():
        assert histories[1][name] == pytest.approx(values, rel=1e-6), name


def test_a_killed_run_ends_with_the_same_weights(data, tmp_path):
    """A second process is killed in its third epoch and started again."""
    straight, _ = build()
    train(straight, data, 4)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True
        )
        if not (tmp_path / "killed").exists():
            raise AssertionError(done.stderr)
    assert done.returncode == 0, done.stderr
    resumed = keras.saving.load_model(tmp_path / "resumed.keras")
    for a, b in zip(resumed.get_weights(), straight.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


def main(folder):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(24, 4)).astype("float32"), rng.integers(0, 3, 24)
    distiller, _ = build()
    backup = keras.callbacks.BackupAndRestore(folder / "backup")
    kill = keras.callbacks.LambdaCallback(on_train_batch_begin=die_in_the_third_epoch(folder))
    train(distiller, data, 4, callbacks=[backup, kill])
    distiller.save(folder / "resumed.keras")


def die_in_the_third_epoch(folder):
    steps = []

    def on_train_batch_begin(batch, logs=None):
        steps.append(batch)
        if len(steps) == 13 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return on_train_batch_begin


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
