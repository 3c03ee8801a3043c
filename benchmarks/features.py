"""What does training on features cost?

Questions, one a part:
  step    Does a step with two feature terms, on a map and on a pooled signal, cost at most the
          student's own step and the teacher's forward pass, and 15 % more? With projectors, whose
          own forward and backward pass is measured apart, and without, beside keras.distillation,
          which cannot project. Graph mode and XLA.
  losses  How long do forward pass and gradient of each loss on features take, on a batch of
          (128, 8, 8, 64), or what of it the loss is for? Graph mode.
  memory  By how much does `Relational` raise a process' peak memory, whose angles take B^3
          numbers?

Baseline of the steps: student's step + teacher's forward pass, measured apart in the same rounds.
Interleaved medians in one process; memory in a process of its own for each batch size.

    python benchmarks/features.py --rounds=15 --steps=5
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from interleaved import measure, save, summary
from stepping import cross_entropy, forward, student_model, teacher_model, trained

import keras_kd
from keras_kd import Term, losses, projectors

_ROUNDS = flags.DEFINE_integer("rounds", 15, "Counted rounds.")
_STEPS = flags.DEFINE_integer("steps", 5, "Steps or calls per round and system.")
_MEMORY = flags.DEFINE_integer("memory", None, "Internal: measure memory for this batch size.")

BATCH, BOUND = 64, 1.15
MAP = (128, 8, 8, 64)
MEMORY_BATCHES = (64, 128, 256)


def step():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, 32, 32, 3)).astype("float32")
    batch = tf.data.Dataset.from_tensors((x, rng.integers(0, 10, BATCH))).cache()
    return {mode: steps(batch, jit) for mode, jit in (("graph", False), ("jit", True))}


def steps(batch, jit):
    """Returns times and ratios of one mode."""
    projected, plain = distiller(student_model(32), "auto"), distiller(student_model(64), None)
    settings = {"jit": jit, "steps": _STEPS.value}
    compiled = settings | {"loss": cross_entropy()}
    systems = {
        "teacher": forward(teacher_model(), batch, **settings),
        "student, narrow": trained(student_model(32), batch, **compiled),
        "keras_kd, projectors": trained(projected, batch, **compiled),
        "projectors alone": backward([term.projector for term in projected.terms], jit),
        "student, same width": trained(student_model(64), batch, **compiled),
        "keras_kd, same width": trained(plain, batch, **compiled),
        "keras.distillation, same width": trained(peer(), batch, **compiled),
    }
    seconds = measure(systems, _ROUNDS.value)
    return {
        "milliseconds per step": per_call(seconds),
        "keras_kd, projectors / (student + teacher)": over(
            seconds, "keras_kd, projectors", "student, narrow", "teacher"
        ),
        "keras_kd, same width / (student + teacher)": over(
            seconds, "keras_kd, same width", "student, same width", "teacher"
        ),
        "keras_kd / keras.distillation": over(
            seconds, "keras_kd, same width", "keras.distillation, same width"
        ),
    }


def distiller(student, projector):
    """Returns a distiller with two terms on features, and none on logits."""
    names = {"teacher": "map", "student": "map"}, {"teacher": "pooled", "student": "pooled"}
    terms = [Term(losses.Hint(), weight=1.0, projector=projector, **name) for name in names]
    return keras_kd.Distiller(student=student, teacher=teacher_model(), terms=terms)


def peer():
    """Returns keras.distillation's trainer of the same two terms."""
    names = ("map", "pooled")
    return keras.distillation.Distiller(
        teacher=teacher_model(),
        student=student_model(64),
        distillation_losses=[
            keras.distillation.FeatureDistillation("mse", name, name) for name in names
        ],
        distillation_loss_weights=[1.0, 1.0],
    )


def backward(layers, jit):
    """Returns a callable that runs projectors of the narrow student forward and backward."""
    rng = np.random.default_rng(0)
    shapes = (BATCH, 8, 8, 32), (BATCH, 32)
    signals = [tf.constant(rng.normal(size=shape), "float32") for shape in shapes]
    weights = [weight.value for layer in layers for weight in layer.trainable_weights]

    @tf.function(jit_compile=jit)
    def gradients(*signals):
        with tf.GradientTape() as tape:
            tape.watch(signals)
            values = [layer(signal) for layer, signal in zip(layers, signals)]
        return tape.gradient(values, [*signals, *weights])

    def run():
        for _ in range(_STEPS.value):
            found = gradients(*signals)
        found[0].numpy()

    return run


def per_call(seconds):
    """Returns medians in milliseconds."""
    return {
        name: summary([value / _STEPS.value * 1e3 for value in values])
        for name, values in seconds.items()
    }


def over(seconds, system, *baseline):
    """Returns the median over the rounds of a system's time in the sum of others'."""
    sums = [sum(times) for times in zip(*(seconds[name] for name in baseline))]
    return summary([a / b for a, b in zip(seconds[system], sums)])


def feature_losses():
    """Returns losses by name, with the shape of the signal that they get."""
    count, height, width, channels = MAP
    pooled, tokens = (count, channels), (count, height * width, channels)
    return {
        "Hint": (losses.Hint(), MAP),
        "CosineHint": (losses.CosineHint(), pooled),
        "AttentionTransfer": (losses.AttentionTransfer(), MAP),
        "SimilarityPreserving": (losses.SimilarityPreserving(), MAP),
        "ProbabilisticTransfer": (losses.ProbabilisticTransfer(), pooled),
        "Relational": (losses.Relational(), pooled),
        "Relational, of whole maps": (losses.Relational(), MAP),
        "ChannelWise": (losses.ChannelWise(), MAP),
        "HierarchicalContext": (losses.HierarchicalContext(), MAP),
        "Variational": (losses.Variational(), MAP),
        "SelfRelation": (losses.SelfRelation(relation_heads=8), tokens),
    }


def value_and_gradient(loss, shape):
    """Returns a callable that computes both on random signals of a shape."""
    rng = np.random.default_rng(0)
    teacher, student = (tf.constant(rng.normal(size=shape), "float32") for _ in range(2))
    projector = projectors.Variational(shape[-1]) if isinstance(loss, losses.Variational) else None

    @tf.function
    def gradient(teacher, student):
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss(teacher, projector(student) if projector else student)
        return tape.gradient(value, student)

    def run():
        for _ in range(_STEPS.value):
            found = gradient(teacher, student)
        found.numpy()

    return run


def each_loss():
    systems = {name: value_and_gradient(*given) for name, given in feature_losses().items()}
    return {"milliseconds": per_call(measure(systems, _ROUNDS.value))}


def memory():
    """Returns megabytes by batch size."""

    def measured(batch):
        command = [sys.executable, __file__, "--steps=1", f"--memory={batch}"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return float(output.split()[-1])

    return {f"batch {batch}, megabytes": measured(batch) for batch in MEMORY_BATCHES}


def growth(batch):
    """Returns by how many megabytes calls for a batch raise this process' peak (Linux)."""
    value_and_gradient(losses.Relational(), (8, MAP[-1]))()
    before = kilobytes("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak so far is that of imports
    value_and_gradient(losses.Relational(), (batch, MAP[-1]))()
    return (kilobytes("VmHWM") - before) * 1024 / 1e6


def kilobytes(name):
    """Returns a number of what Linux says of this process."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1])


def show(results, indent="  "):
    for name, value in results.items():
        if isinstance(value, dict) and "median" not in value:
            print(f"{indent}{name}")
            show(value, indent + "  ")
        else:
            value = value["median"] if isinstance(value, dict) else value
            bound = f"  required <= {BOUND}" if name.endswith("(student + teacher)") else ""
            print(f"{indent}{name:44} {value:9.3f}{bound}")


def main(_):
    if _MEMORY.value:
        print(growth(_MEMORY.value))
        return
    keras.utils.set_random_seed(0)
    results = {"step": step(), "losses": each_loss(), "memory of Relational": memory()}
    show(results)
    command = f"python benchmarks/features.py --rounds={_ROUNDS.value} --steps={_STEPS.value}"
    print("\nwritten to", save("features", command, {"batch": BATCH, "map": MAP} | results).name)


if __name__ == "__main__":
    app.run(main)
