"""How should ResNet-8 be pruned to 80 %? Recipes compared on images held out of the training set.

Three epochs over 15,000 images of CIFAR-10, from MLPerf Tiny's weights, one seed; scored on 5,000
images of the training set that no row trains on. The published weights have seen them, so that
scores are above those on test images; their order is what counts.

    python benchmarks/compression_choices.py --data=DIR

Rows that `results/compression_choices.json` has are not computed again. A minute each on two cores.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pathlib
import sys

import keras
import numpy as np
from absl import app, flags
from interleaved import RESULTS, save
from resnet8 import load_reference_weights, resnet8

from keras_kd import compression

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "Folder with load_data.py.", required=True)
COMMAND = "python benchmarks/compression_choices.py --data=DIR"
IMAGES, HELD, EPOCHS = 15_000, 5_000, 3
# Allocation, learning rate at the beginning of the cosine, share of the steps in which the sparsity
# grows, batch size.
RECIPES = {
    "not pruned": (None, 5e-4, None, 100),
    "uniform": ("uniform", 5e-4, 0.6, 100),
    "lamp": ("lamp", 5e-4, 0.6, 100),
    "lamp, rate 2e-3": ("lamp", 2e-3, 0.5, 100),
    "lamp, rate 1e-3, twice the steps": ("lamp", 1e-3, 0.4, 50),
}


def trained(recipe, train, held):
    """Returns a recipe's scores, in percent."""
    allocation, rate, growing, batch_size = recipe
    steps = EPOCHS * -(-IMAGES // batch_size)
    keras.utils.set_random_seed(0)
    student = resnet8()
    weights = pathlib.Path(FLAGS.data) / "pretrained/mlperf_tiny/pretrainedResnet.h5"
    load_reference_weights(student, weights)
    if allocation:
        student = compression.prune(student, 0.8, int(growing * steps), allocation=allocation)
    decay = keras.optimizers.schedules.CosineDecay(rate, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.Adam(decay), loss, metrics=["accuracy"])
    history = student.fit(*train, batch_size=batch_size, epochs=EPOCHS, verbose=2).history
    score = student.evaluate(*held, batch_size=500, verbose=0)[1]
    return {"held_out": round(100 * score, 2), "train": round(100 * history["accuracy"][-1], 2)}


def main(_):
    sys.path.insert(0, FLAGS.data)
    from load_data import load

    (x, y), _ = load("cifar10")
    rows = np.random.default_rng(0).permutation(len(x))
    parts = rows[:IMAGES], rows[-HELD:]
    train, held = [(x[part].astype("float32"), y[part].astype("int32")) for part in parts]
    path = RESULTS / "compression_choices.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    for name, recipe in RECIPES.items():
        if name not in results:
            results[name] = trained(recipe, train, held)
            save("compression_choices", COMMAND, results)


if __name__ == "__main__":
    app.run(main)
