"""What does a distillation loss cost?

Question: how long do forward pass and gradient of each loss take, on logits alone? Required: soft
targets take at most twice the baseline at 1000 classes. Graph mode and XLA.

Baseline: `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, in the same rounds.

    python benchmarks/losses.py --rounds=200
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from interleaved import measure, save, summary

from keras_kd import losses

_ROUNDS = flags.DEFINE_integer("rounds", 200, "Counted rounds.")
_CALLS = flags.DEFINE_integer("calls", 5, "Calls per round and loss.")

SHAPES = [(256, 10), (256, 1000)]
BASELINE = "cross-entropy"
REQUIRED = {("256x1000", "SoftTargets"): 2.0}


def all_losses():
    ours = {
        "SoftTargets": losses.SoftTargets(),
        "SoftTargets, standardized": losses.SoftTargets(temperature=2.0, standardize=True),
        "DecoupledKD": losses.DecoupledKD(),
        "DIST": losses.DIST(),
        "NKD": losses.NKD(),
        "WTTM": losses.WTTM(),
        "GeneralizedJensenShannon": losses.GeneralizedJensenShannon(),
        "LogitMSE": losses.LogitMSE(),
        "MultiLabelSoftTargets": losses.MultiLabelSoftTargets(),
    }
    return {BASELINE: keras.losses.SparseCategoricalCrossentropy(from_logits=True)} | ours


def system(loss, teacher, labels, student, jit):
    """Returns a callable that computes value and gradient, the flag's number of times."""
    needs = getattr(loss, "needs", ())

    @tf.function(jit_compile=jit)
    def value_and_gradient(teacher, labels, student):
        target = {"teacher": teacher, "labels": labels} if "labels" in needs else teacher
        if not isinstance(loss, losses.DistillationLoss):
            target = labels
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss(target, student)
        return value, tape.gradient(value, student)

    def run():
        for _ in range(_CALLS.value):
            _, gradient = value_and_gradient(teacher, labels, student)
        gradient.numpy()

    return run


def one_setting(shape, jit):
    rng = np.random.default_rng(0)
    teacher, student = (tf.constant(3 * rng.normal(size=shape), "float32") for _ in range(2))
    labels = tf.constant(rng.integers(0, shape[-1], shape[0]))
    systems = {
        name: system(loss, teacher, labels, student, jit) for name, loss in all_losses().items()
    }
    seconds = measure(systems, _ROUNDS.value, progress=lambda _: None)
    return {
        name: {
            "milliseconds": summary([value / _CALLS.value * 1e3 for value in values]),
            "ratio to cross-entropy": summary([a / b for a, b in zip(values, seconds[BASELINE])]),
        }
        for name, values in seconds.items()
    }


def main(_):
    results = {}
    for shape in SHAPES:
        for mode, jit in (("graph", False), ("jit", True)):
            size = "x".join(map(str, shape))
            rows = results.setdefault(size, {})[mode] = one_setting(shape, jit)
            print(f"\n{size}, {mode}: milliseconds and ratio to cross-entropy (medians)")
            for name, row in rows.items():
                time, ratio = (value["median"] for value in row.values())
                bound = REQUIRED.get((size, name))
                note = f"  required <= {bound}" if bound else ""
                print(f"  {name:28} {time:8.3f} {ratio:8.2f}{note}")
    command = f"python benchmarks/losses.py --rounds={_ROUNDS.value} --calls={_CALLS.value}"
    print("\nwritten to", save("losses", command, results).name)


if __name__ == "__main__":
    app.run(main)
