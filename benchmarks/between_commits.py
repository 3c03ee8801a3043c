"""Did a change make training or export slower?

A training step with an online teacher, an epoch of stored answers and int8 exports, of the commit
before a change and of the working tree. Each tree has a process of its own; both stay alive, and
the rounds alternate between them, so that a busy machine disturbs both alike.

    python benchmarks/between_commits.py --before=COMMIT --rounds=15
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
from absl import app, flags
from interleaved import measure, save, summary
from keras import layers

FLAGS = flags.FLAGS
flags.DEFINE_string("before", None, "The commit to compare with.")
flags.DEFINE_integer("rounds", 15, "Counted rounds of each system.", 2)
flags.DEFINE_string("serve", "", "Internal: answers on standard input, in this folder.")
ROOT = pathlib.Path(__file__).resolve().parents[1]
SYSTEMS = ("step online", "stored epoch", "int8 export")
STEPS = 100
SILENT = {"verbose": 0}


def network(width):
    """Returns a network for digits, 8x8 pixels."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(width, 3, padding="same", activation="relu"),
            layers.Conv2D(2 * width, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )


def systems(folder):
    """Returns what is timed, with the keras_kd that this process imports."""
    import tensorflow as tf

    import keras_kd

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.random((64 * STEPS, 8, 8, 1)).astype("float32")
    y = rng.integers(0, 10, len(x))

    def compiled(teacher):
        distiller = keras_kd.Distiller(student=network(8), teacher=teacher)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        distiller.compile("adam", loss=loss, alpha=0.1, temperature=4.0)
        return distiller

    online, live = compiled(network(16)), tf.data.Dataset.from_tensor_slices((x, y)).batch(64)
    answers = keras_kd.SoftLabels.write(None, teacher=network(16), data=x, verbose=0)
    stored, trained = compiled(answers), answers.dataset(x, y, batch_size=64)
    file = pathlib.Path(folder) / "student.tflite"
    return {
        "step online": lambda: online.fit(live, **SILENT),
        "stored epoch": lambda: stored.fit(trained, **SILENT),
        "int8 export": lambda: keras_kd.export.tflite(
            online, file, quantization="int8", calibration=x[:128]
        ),
    }


def serve(folder):
    """Runs the systems that standard input names, and says how long each took."""
    answers, sys.stdout = sys.stdout, sys.stderr
    timed = systems(folder)
    for line in sys.stdin:
        began = time.perf_counter()
        timed[line.strip()]()
        print(time.perf_counter() - began, file=answers, flush=True)


class Tree:
    """A process that imports keras_kd from `path`."""

    def __init__(self, path, folder):
        folder.mkdir()
        command = [sys.executable, __file__, f"--serve={folder}"]
        environment = os.environ | {"PYTHONPATH": os.fspath(path)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)

    def run(self, system):
        """Runs a system, and returns its seconds."""
        self.process.stdin.write(system + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def compared(before, rounds, folder):
    """Returns the samples of both trees, and what the first exports took."""
    trees = {"before": Tree(before, folder / "b"), "after": Tree(ROOT, folder / "a")}
    first = {f"first int8 export, {name}": tree.run("int8 export") for name, tree in trees.items()}
    timed = {
        f"{system}, {name}": lambda tree=tree, system=system: tree.run(system)
        for system in SYSTEMS
        for name, tree in trees.items()
    }
    return first, measure(timed, rounds)


def main(_):
    if FLAGS.serve:
        return serve(FLAGS.serve)
    with tempfile.TemporaryDirectory() as folder:
        before = pathlib.Path(folder) / "tree"
        git = ["git", "-C", ROOT, "worktree"]
        subprocess.run([*git, "add", "--detach", before, FLAGS.before], check=True)
        try:
            first, seconds = compared(before, FLAGS.rounds, pathlib.Path(folder))
        finally:
            subprocess.run([*git, "remove", "--force", before], check=True)
    results = {"before": FLAGS.before, "steps of an epoch": STEPS, **first}
    results |= {name: summary(values) for name, values in seconds.items()}
    for system in SYSTEMS:
        medians = [results[f"{system}, {name}"]["median"] for name in ("before", "after")]
        results[f"{system}, after / before"] = medians[1] / medians[0]
        print(f"{system}: {medians[0]:.3f} s before, {medians[1]:.3f} s after")
    print(save("between_commits", " ".join(["python", *sys.argv]), results))


if __name__ == "__main__":
    app.run(main)
