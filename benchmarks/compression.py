"""What do pruning, clustering and 8 or 4 bits cost and save, with and without a teacher?

Two students: a small network on sklearn's digits, and the ResNet-8 of MLPerf Tiny on CIFAR-10, a
short fine-tuning of its published weights (the float student has the same budget). The teachers'
answers are stored: of a network five times as large, and of a ResNet-56. Baseline: the float file
of the same budget, and int8 after training. Scores are those of the exported files on all test
images, in percent; bytes are the files'. `steps` times a training step, interleaved.

    python benchmarks/compression.py --data=DIR [--rows="resnet8/alone/*,*/steps"]

Each row is a small file in `--cache`, so that a killed run goes on; `results/compression.json` has
all that there are. About 40 minutes on two cores.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import fnmatch
import json
import pathlib
import sys
import time

import keras
from absl import app, flags
from compression_suite.tasks import TASKS, fit
from interleaved import measure, save, summary
from stepping import cross_entropy, trained

import keras_kd
from keras_kd import compression

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "Folder with load_data.py.", required=True)
flags.DEFINE_string("cache", "~/.cache/keras_kd/compression", "Rows, answers and students.")
flags.DEFINE_list("rows", ["*"], "Which rows: patterns of task/teacher/row.")
flags.DEFINE_integer("rounds", 9, "Rounds of the timing.", 1)
KINDS = ("float32", "int8", "qat8", "qat4", "pruned", "clustered", "all")
SIDES = ("alone", "teacher")


def student_of(task, side, kind, cache):
    """Returns the trained student of a row: what the method returned, trained."""
    path = cache / f"{task.name}.{side}.{kind}.keras"
    if path.exists():
        return keras.saving.load_model(path, compile=False)
    keras.utils.set_random_seed(0)
    if kind == "all":
        student = compression.cluster(student_of(task, side, "pruned", cache), clusters=16)
        student = compression.quantize_aware(fit(task, student, side, task.epochs["clustered"]))
        student = fit(task, student, side, task.epochs["qat8"])
    else:
        start = task.start(cache, side, fit) if kind != "float32" else task.start(cache, side, None)
        student = fit(task, _prepared(task, start, kind), side, task.epochs[kind])
    student.save(path)
    return student


def _prepared(task, start, kind):
    if kind.startswith("qat"):
        return compression.quantize_aware(start, bits=int(kind[3:]))
    if kind == "pruned":
        steps = task.steps(task.epochs[kind])
        return compression.prune(start, sparsity=0.8, steps=int(0.6 * steps))
    return compression.cluster(start, clusters=16) if kind == "clustered" else start


def row(task, side, kind, cache):
    """Returns a row's numbers."""
    student = student_of(task, side, "float32" if kind == "int8" else kind, cache)
    (x, _), test = task.data()
    quantized = kind != "float32"
    aware = kind.startswith(("qat", "all"))
    plain = compression.finish(student) if kind in ("pruned", "clustered") else student
    report = keras_kd.export.tflite(
        plain,
        cache / f"{task.name}.{side}.{kind}.tflite",
        quantization="int8" if quantized else "float32",
        calibration=None if aware or not quantized else x[:500],
        verify=test,
    )
    return {
        "accuracy": round(100 * report.accuracy_after, 2),
        "keras": round(100 * report.accuracy_before, 2),
        "bytes": report.bytes,
        "gzip_bytes": report.gzip_bytes,
        "agreement": report.argmax_agreement,
        "operators": report.operators,
    }


def steps(task):
    """Returns the time of a quantisation-aware step beside the plain student's."""
    import tensorflow as tf

    plain = task.build()
    (x, y), _ = task.data()
    batch = tf.data.Dataset.from_tensors((x[:64], y[:64]))
    systems = {
        name: trained(model, batch, 10, jit=False, loss=cross_entropy())
        for name, model in {"plain": plain, "qat8": compression.quantize_aware(plain)}.items()
    }
    seconds = measure(systems, FLAGS.rounds)
    found = {name: summary(values) for name, values in seconds.items()}
    return found | {"ratio": found["qat8"]["median"] / found["plain"]["median"]}


def rows(cache):
    """Returns what computes each row, by name."""
    made = {}
    for task in TASKS:
        for side in SIDES:
            for kind in KINDS:
                name = f"{task.name}/{side}/{kind}"
                made[name] = lambda t=task, s=side, k=kind: row(t, s, k, cache)
        made[f"{task.name}/steps"] = lambda t=task: steps(t)
    return made


def main(_):
    sys.path.insert(0, FLAGS.data)
    cache = pathlib.Path(FLAGS.cache).expanduser()
    cells = cache / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    results = {}
    for task in TASKS:
        task.cache, task.folder = cache, pathlib.Path(FLAGS.data)
    for name, compute in rows(cache).items():
        cell = cells / f"{name.replace('/', '.')}.json"
        if not cell.exists() and any(fnmatch.fnmatch(name, rule) for rule in FLAGS.rows):
            began = time.perf_counter()
            found = compute() | {"seconds": round(time.perf_counter() - began, 1)}
            cell.write_text(json.dumps(found))
            print(name, found, flush=True)
        if cell.exists():
            results[name] = json.loads(cell.read_text())
            save("compression", "python benchmarks/compression.py --data=DIR", results)


if __name__ == "__main__":
    app.run(main)
