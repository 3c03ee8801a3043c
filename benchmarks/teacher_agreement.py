"""What does TeacherAgreement add to a validation from stored answers?

Question: the time of a validation within `fit` on a dataset that carries the teacher's answers,
with the callback's comparison against without it; the medians of interleaved runs, in CPU seconds,
which other programs on the machine disturb less. Second, for scale: with a live teacher. Student:
three stages of two convolutions on images of CIFAR-10's shape; teacher: the same, four times as
wide; random images, as no time depends on what they show.

Baseline: the same validation without the callback.

    python benchmarks/teacher_agreement.py
"""

import json
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from interleaved import save

import keras_kd
from keras_kd._pipelines import untuned

FLAGS = flags.FLAGS
flags.DEFINE_integer("rounds", 31, "Interleaved evaluations of each kind.", 3)
flags.DEFINE_integer("samples", 1024, "Validation images.", 128)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(width):
    x = inputs = keras.Input((32, 32, 3))
    for stage in range(3):
        x = keras.layers.Conv2D(width << stage, 3, 1 + (stage > 0), "same", activation="relu")(x)
        x = x + keras.layers.Conv2D(width << stage, 3, padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


class Clock(keras.callbacks.Callback):
    """Notes the CPU time of each validation."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_test_begin(self, logs=None):
        """Starts the clock."""
        self.seconds.append(-time.process_time())

    def on_test_end(self, logs=None):
        """Stops it."""
        self.seconds[-1] += time.process_time()


def validation(distiller, data, compared):
    """Returns a function that validates within `fit`, with the comparison or without it."""

    def run():
        clock = Clock()
        callbacks = [clock, keras_kd.callbacks.TeacherAgreement()] if compared else [clock]
        given = {"validation_data": data, "callbacks": callbacks, "verbose": 0}
        distiller.fit(data.take(1), epochs=2, **given)
        return clock.seconds[-1]  # the first one compiles

    return run


def main(_):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (FLAGS.samples, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, FLAGS.samples)
    student, teacher = network(16), network(64)
    soft = keras_kd.SoftLabels.write(None, teacher=teacher, data=x)
    stored = keras_kd.Distiller(student=student, teacher=soft)
    live = keras_kd.Distiller(student=student, teacher=teacher)
    for distiller in (stored, live):
        distiller.compile("sgd", loss=LOSS, metrics=["accuracy"], temperature=4.0)
    carried = soft.dataset(x, y, batch_size=128, shuffle=False)
    plain = untuned(tf.data.Dataset.from_tensor_slices((x, y)).batch(128))
    runs = {
        "stored, without": validation(stored, carried, False),
        "stored, with": validation(stored, carried, True),
        "live, without": validation(live, plain, False),
        "live, with": validation(live, plain, True),
    }
    times = {name: [] for name in runs}
    for number in range(FLAGS.rounds):
        for name, run in runs.items():
            if number < 3 or not name.startswith("live"):
                times[name].append(run())
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = [b / a for a, b in zip(times["stored, without"], times["stored, with"])]
    results = {
        "median CPU seconds": medians,
        "stored, with / without": medians["stored, with"] / medians["stored, without"],
        "quartiles of the paired ratio": statistics.quantiles(ratios, n=4),
        "rounds": FLAGS.rounds,
        "samples": FLAGS.samples,
        "CPU seconds": times,
    }
    print(json.dumps(results, indent=2))
    save("teacher_agreement", "python benchmarks/teacher_agreement.py", results)


if __name__ == "__main__":
    app.run(main)
