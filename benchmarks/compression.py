"""What do pruning, clustering and 8 or 4 bits cost and save, with and without a teacher?

Two students: a small network on sklearn's digits, and the ResNet-8 of MLPerf Tiny on CIFAR-10,
from its published weights. The first is trained to begin with (`start`). `float32` and the pruned
students go on from there, clustered and quantised ones from `float32`, each for a budget of its
own. The teachers' answers are stored: of a network five times as large, and of a ResNet-56. In rows
of `itself` the student before teaches its clustered and quantised copies, without labels. `tfmot`
rows are those of tensorflow-model-optimization, from the same students, for the same budgets.
Scores are those of the exported files on all test images, in percent, taken once. `steps` times a
training step, interleaved.

    python benchmarks/compression.py --data=DIR [--rows="resnet8/alone/*,*/steps"]

Each row is a small file in `--cache`, so that a killed run goes on; `results/compression.json` has
all that there are, and docs/compression.md its tables. About an hour on two free cores.
"""

import os

# This folder is on the path, where JAX looks for the compression package of Python 3.14.
if __name__ != "__main__":
    raise ImportError("benchmarks/compression.py is a script")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import fnmatch
import gzip
import json
import pathlib
import sys
import time

import keras
import numpy as np
from absl import app, flags
from accuracy_suite.results import write_between_marks
from compression_suite import tfmot
from compression_suite.tasks import LONG, TASKS, fit
from interleaved import measure, save, summary
from stepping import cross_entropy, trained

import keras_kd
from keras_kd import compression
from keras_kd._text import markdown

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "Folder with load_data.py.", required=True)
flags.DEFINE_string("cache", "~/.cache/keras_kd/compression", "Rows, answers and students.")
flags.DEFINE_list("rows", ["*"], "Which rows: patterns of task/teacher/row.")
flags.DEFINE_integer("rounds", 9, "Rounds of the timing.", 1)
ROWS = {
    "float32": "float32",
    "int8": "int8 after training",
    "qat8": "`quantize_aware`, 8 bits",
    "qat4": "`quantize_aware`, 4 bits, first and last in 8",
    "pruned": '`prune(allocation="lamp")`, 80 %, int8 after training',
    "clustered": "`cluster`, 16 values, int8 after training",
    "all": "all three, 80 %, 8 bits",
    "half": '`prune(allocation="lamp")`, 50 %, int8 after training',
    "all_half": "all three, 50 %, 8 bits",
    LONG: '`prune(allocation="lamp")`, 80 %, 40 epochs, int8 after training',
    "all_long": "all three, 80 %, 40 epochs, 8 bits",
}
# The pruned student that the three methods together begin with.
PRUNED = {"all": "pruned", "all_half": "half", "all_long": LONG}
SPARSITY = {"pruned": 0.8, "half": 0.5, LONG: 0.8}
KINDS = tuple(kind for kind in ROWS if PRUNED.get(kind, kind) not in ("half", LONG))
SIDES = {
    "alone": (*KINDS, "half", "all_half"),
    "teacher": (*KINDS, LONG, "all_long"),
    "itself": ("qat8", "qat4", "all_half", "all_long"),
    "tfmot": ("qat8", "pruned", "clustered", "all"),
}
# The share of the pruning's steps in which the sparsity grows.
GROWING = 0.4


def student_of(task, side, kind):
    """Returns the trained student of a row: what the method returned, trained."""
    path = task.cache / f"{task.name}.{side}.{kind}.keras"
    if path.exists():
        return keras.saving.load_model(path, compile=False)
    keras.utils.set_random_seed(0)
    if kind == "start":
        student = fit(task, task.build(), side, kind)
    else:
        student = before(task, side, kind)
        teacher = student if side == "itself" else None
        stages, budget = (("clustered", "qat8"), "all") if kind in PRUNED else ((kind,), kind)
        for stage in stages:
            student = fit(task, _prepared(task, student, stage), side, budget, teacher)
    student.save(path)
    return student


def before(task, side, kind):
    """Returns the student that a row's training goes on from."""
    if side == "itself":
        side = "teacher" if kind == "all_long" else "alone"
    fine_tuned = kind in ("qat8", "qat4", "clustered")
    return student_of(task, side, PRUNED.get(kind, "float32" if fine_tuned else "start"))


def _prepared(task, start, kind):
    if kind.startswith("qat"):
        return compression.quantize_aware(start, bits=int(kind[3:]), first_and_last=8)
    if kind in SPARSITY:
        steps = int(GROWING * task.steps(kind))
        return compression.prune(start, sparsity=SPARSITY[kind], steps=steps, allocation="lamp")
    return compression.cluster(start, clusters=16) if kind == "clustered" else start


def row(task, side, kind):
    """Returns a row's numbers."""
    *_, (x, y) = task.data()
    path = task.cache / f"{task.name}.{side}.{kind}.tflite"
    if side == "tfmot":
        start = before(task, "alone", "pruned" if kind == "all" else kind)
        tfmot.file_of(task, kind, start, path)
        found = np.argmax(keras_kd.export.predict(path, x), axis=-1)
        return {"accuracy": round(100 * float(np.mean(found == y)), 2), **sizes(path)}
    student = student_of(task, side, "float32" if kind == "int8" else kind)
    aware = kind.startswith(("qat", "all"))
    plain = compression.finish(student) if kind in (*SPARSITY, "clustered") else student
    report = keras_kd.export.tflite(
        plain,
        path,
        quantization="float32" if kind == "float32" else "int8",
        calibration=None if aware or kind == "float32" else task.data()[0][0][:500],
        verify=(x, y),
    )
    return {
        "accuracy": round(100 * report.accuracy_after, 2),
        "keras": round(100 * report.accuracy_before, 2),
        **sizes(path),
        "agreement": report.argmax_agreement,
        "operators": report.operators,
    }


def sizes(path):
    """Returns the bytes of a file, and those that a download takes."""
    data = path.read_bytes()
    return {"bytes": len(data), "gzip_bytes": len(gzip.compress(data, 9))}


def steps(task):
    """Returns the time of a quantisation-aware step beside the plain student's."""
    import tensorflow as tf

    plain = task.build()
    (x, y), *_ = task.data()
    batch = tf.data.Dataset.from_tensors((x[:64], y[:64]))
    systems = {
        name: trained(model, batch, 10, jit=False, loss=cross_entropy())
        for name, model in {"plain": plain, "qat8": compression.quantize_aware(plain)}.items()
    }
    seconds = measure(systems, FLAGS.rounds)
    found = {name: summary(values) for name, values in seconds.items()}
    return found | {"ratio": found["qat8"]["median"] / found["plain"]["median"]}


def rows():
    """Returns what computes each row, by name."""
    made = {}
    for task in TASKS:
        for side, kinds in SIDES.items():
            for kind in kinds:
                if PRUNED.get(kind, kind) == LONG and LONG not in task.budgets:
                    continue
                name = f"{task.name}/{side}/{kind}"
                made[name] = lambda t=task, s=side, k=kind: row(t, s, k)
        made[f"{task.name}/steps"] = lambda t=task: steps(t)
    return made


def table(task, results):
    """Returns the rows of a task as a table of Markdown: scores in percent, sizes in bytes."""
    forms = {"accuracy": "{:.2f}", "agreement": "{:.1%}"}

    def said(side, kind, what):
        value = results.get(f"{task.name}/{side}/{kind}", {}).get(what)
        return "" if value is None else forms.get(what, "{:,}").format(value)

    heads = ["file", "labels", "teacher", "itself", "TFMOT", "bytes", "gzip", "gzip, TFMOT"]
    heads.append("same class")
    rows = [
        [
            name,
            *(said(side, kind, "accuracy") for side in SIDES),
            said(own, kind, "bytes"),
            *(said(side, kind, "gzip_bytes") for side in (own, "tfmot")),
            said(own, kind, "agreement"),
        ]
        for kind, name in ROWS.items()
        for own in ["alone" if kind in SIDES["alone"] else "teacher"]
    ]
    return markdown(heads, [row for row in rows if any(row[1:])])


def main(_):
    sys.path.insert(0, FLAGS.data)
    cache = pathlib.Path(FLAGS.cache).expanduser()
    cells = cache / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    results = {}
    for task in TASKS:
        task.cache, task.folder = cache, pathlib.Path(FLAGS.data)
    for name, compute in rows().items():
        cell = cells / f"{name.replace('/', '.')}.json"
        if not cell.exists() and any(fnmatch.fnmatch(name, rule) for rule in FLAGS.rows):
            began = time.perf_counter()
            found = compute() | {"seconds": round(time.perf_counter() - began, 1)}
            cell.write_text(json.dumps(found))
            print(name, found, flush=True)
        if cell.exists():
            results[name] = json.loads(cell.read_text())
            save("compression", "python benchmarks/compression.py --data=DIR", results)
    for task in TASKS:
        write_between_marks("docs/compression.md", task.name, table(task, results))


if __name__ == "__main__":
    app.run(main)
