"""What does training with an online teacher cost?

Question: is a keras_kd step as cheap as it can be, the student's own step plus one forward pass of
the teacher, and how do keras.distillation and a step written by hand compare? Logits distillation,
a ResNet-like teacher and a small convolutional student on 32x32 images; keras.distillation with its
loss mended (a `KLDivergence` object, since its default does not distil). Graph mode and XLA.

Baseline: student's step + teacher's forward pass, measured apart in the same rounds. Operations of
teacher and student overlap on several cores, so a ratio below 1 is possible.

    python benchmarks/train_step.py --rounds=15 --steps=5
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from interleaved import measure, save, summary
from stepping import cross_entropy, forward, student_model, teacher_model, trained

import keras_kd

_ROUNDS = flags.DEFINE_integer("rounds", 15, "Counted rounds.")
_STEPS = flags.DEFINE_integer("steps", 5, "Training steps per round and system.")
_BATCH = flags.DEFINE_integer("batch", 64, "Batch size.")

TEMPERATURE, ALPHA = 4.0, 0.1
REQUIRED = {"keras_kd / (student + teacher)": 1.05, "keras_kd / keras.distillation": 1.0}


def by_hand(teacher, batch, jit):
    student, optimizer = student_model(), keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(student.trainable_variables)
    loss_fn = cross_entropy()

    @tf.function(jit_compile=jit, reduce_retracing=True)
    def step(x, y):
        target = tf.nn.softmax(teacher(x, training=False) / TEMPERATURE)
        with tf.GradientTape() as tape:
            logits = student(x, training=True)
            log_q = tf.nn.log_softmax(logits / TEMPERATURE)
            divergence = tf.reduce_sum(target * (tf.math.log(target) - log_q), axis=-1)
            soft = TEMPERATURE**2 * tf.reduce_mean(divergence)
            loss = ALPHA * loss_fn(y, logits) + (1 - ALPHA) * soft
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables))
        return loss

    iterator = iter(batch.repeat())

    def run():
        for _ in range(_STEPS.value):
            loss = step(*next(iterator))
        float(loss)

    return run


def systems(batch, jit):
    steps = _STEPS.value
    teacher = teacher_model()
    mended = keras.distillation.LogitsDistillation(TEMPERATURE, loss=keras.losses.KLDivergence())
    peer = keras.distillation.Distiller(
        teacher=teacher_model(),
        student=student_model(),
        distillation_losses=mended,
        student_loss_weight=ALPHA,
    )
    distiller = keras_kd.Distiller(student=student_model(), teacher=teacher)
    return {
        "student": trained(student_model(), batch, steps, jit, loss=cross_entropy()),
        "teacher": forward(teacher, batch, steps, jit),
        "keras_kd": trained(
            distiller, batch, steps, jit, loss=cross_entropy(), alpha=ALPHA, temperature=TEMPERATURE
        ),
        "keras.distillation": trained(peer, batch, steps, jit, loss=cross_entropy()),
        "by hand": by_hand(teacher, batch, jit),
    }


def ratios(seconds):
    """Returns the median over the rounds of each ratio."""
    sums = [s + t for s, t in zip(seconds["student"], seconds["teacher"])]
    against = {
        "keras_kd / (student + teacher)": sums,
        "keras_kd / keras.distillation": seconds["keras.distillation"],
        "keras_kd / by hand": seconds["by hand"],
    }
    return {
        name: summary([a / b for a, b in zip(seconds["keras_kd"], other)])
        for name, other in against.items()
    }


def main(_):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(_BATCH.value, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, _BATCH.value)
    batch = tf.data.Dataset.from_tensors((x, y)).cache()
    results = {}
    for mode, jit in (("graph", False), ("jit", True)):
        seconds = measure(systems(batch, jit), _ROUNDS.value)
        per_step = {k: [v / _STEPS.value * 1e3 for v in values] for k, values in seconds.items()}
        results[mode] = {
            "milliseconds per step": {k: summary(v) for k, v in per_step.items()},
            "ratios": ratios(seconds),
        }
        print(f"\n{mode}, milliseconds per step (median)")
        for name, row in results[mode]["milliseconds per step"].items():
            print(f"  {name:34} {row['median']:8.2f}")
        for name, row in results[mode]["ratios"].items():
            bound = f"  required <= {REQUIRED[name]}" if name in REQUIRED else ""
            print(f"  {name:34} {row['median']:8.3f}{bound}")
    command = f"python benchmarks/train_step.py --rounds={_ROUNDS.value} --steps={_STEPS.value}"
    print("\nwritten to", save("train_step", command, {"batch": _BATCH.value} | results).name)


if __name__ == "__main__":
    app.run(main)
