"""What do teachers of other kinds cost, and what may a Keras teacher be made to cost?

Questions, each with its baseline, all interleaved in one process:
- writing: soft labels of a function (PyTorch), a `.tflite` (any batch size; int8 of one sample) and
  an ONNX file, against calling the same bare, batch after batch. One convolutional network in all
  forms, images of 32x32. Required: within 10 %. What does not grow with the images is also said
  apart: the seconds that a write of one batch takes beyond asking about it.
- training: a student on the stored mean of three teachers, against the student alone. Required: at
  most 1.02.
- recipes: writing the labels of a Keras teacher (ResNet-56) as it is, compiled by XLA, in bfloat16,
  in float16, and as an int8 `.tflite`; and how often each names the same class.

Each figure is the median of the rounds' own ratios, in wall time and, because other programs
disturb it less, in CPU time.

    python benchmarks/teachers.py --data=DIR

DIR holds `cifar10/` and `pretrained/`, read by its `load_data.py`; without it, images and weights
are random.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import pathlib
import statistics
import sys
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from interleaved import RESULTS, measure, save
from resnet8 import resnet8
from teacher_forms import interpreter, network, onnx_file, torch_function

import keras_kd
from keras_kd import teachers
from keras_kd._pipelines import untuned

PARTS = ("writing", "training", "recipes")
_DATA = flags.DEFINE_string("data", None, "Folder with load_data.py; default: random data.")
_PARTS = flags.DEFINE_list("parts", list(PARTS), "Which parts to run; the others' results stay.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Counted rounds.", 2)
_IMAGES = flags.DEFINE_integer("images", 5120, "Images to write labels of.", 128)
BATCH = 128


def images(count):
    """Returns test images of CIFAR-10 and their labels."""
    if _DATA.value is None:
        rng = np.random.default_rng(0)
        return rng.uniform(0, 255, (count, 32, 32, 3)).astype("float32"), rng.integers(0, 10, count)
    sys.path.insert(0, _DATA.value)
    from load_data import load

    _, (x, y) = load("cifar10")
    return x[:count].astype("float32"), y[:count].astype("int64")


def compared(systems):
    """Returns wall and CPU seconds of each round by name, interleaved."""
    cpu = {name: [] for name in systems}

    def timed(name, run):
        def go():
            start = time.process_time()
            run()
            cpu[name].append(time.process_time() - start)

        return go

    wall = measure({name: timed(name, run) for name, run in systems.items()}, _ROUNDS.value)
    return wall, {name: values[1:] for name, values in cpu.items()}


def ratio(seconds, name, baseline):
    """Returns the median of the rounds' ratios, in wall and in CPU time."""
    return {
        clock: statistics.median(a / b for a, b in zip(values[name], values[baseline]))
        for clock, values in zip(("wall", "cpu"), seconds)
    }


def extra(seconds, name, baseline):
    """Returns the median of the rounds' differences, in wall and in CPU seconds."""
    return {
        clock: statistics.median(a - b for a, b in zip(values[name], values[baseline]))
        for clock, values in zip(("wall", "cpu"), seconds)
    }


def medians(seconds):
    return {name: statistics.median(values) for name, values in seconds[0].items()}


def writing(folder):
    """Measures the writing of labels against the bare calls."""
    x, _ = images(_IMAGES.value)
    x /= 255
    model = network()
    answers = torch_function(model)
    any_size, int8 = folder / "any.tflite", folder / "int8.tflite"
    keras_kd.export.tflite(model, any_size, batch_size=None, verify=x[:200])
    keras_kd.export.tflite(model, int8, quantization="int8", calibration=x[:200], tolerance=1.0)
    onnx_file(model, folder / "network.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(
        folder / "network.onnx", providers=["CPUExecutionProvider"]
    )
    kinds = {
        "Function": (answers, teachers.Function(answers, "logits")),
        "TFLite": (interpreter(any_size, BATCH), teachers.TFLite(any_size, "logits")),
        "TFLite int8, one by one": (interpreter(int8, 1), teachers.TFLite(int8, "logits")),
        "ONNX": (
            lambda x: session.run(None, {"x": x})[0],
            teachers.ONNX(folder / "network.onnx", "logits"),
        ),
    }
    systems, errors, starts = {}, {}, range(0, len(x), BATCH)
    for name, (bare, teacher) in kinds.items():
        difference = teacher.predict(x[:BATCH])["output"] - bare(x[:BATCH].copy())
        errors[name] = float(abs(difference).max())
        systems[f"{name}, bare"] = lambda f=bare: [f(x[s : s + BATCH]) for s in starts]
        systems[f"{name}, written"] = lambda t=teacher: written(t, x)
        systems[f"{name}, batch bare"] = lambda f=bare: f(x[:BATCH])
        systems[f"{name}, batch written"] = lambda t=teacher: written(t, x[:BATCH])
    seconds = compared(systems)
    batch = {n: (f"{n}, batch written", f"{n}, batch bare") for n in kinds}
    return {
        "images": len(x),
        "seconds": medians(seconds),
        "CPU seconds": medians(seconds[1:]),
        "written / bare": {n: ratio(seconds, f"{n}, written", f"{n}, bare") for n in kinds},
        "fixed seconds": {n: extra(seconds, *names) for n, names in batch.items()},
        "largest difference": errors,
    }


def written(teacher, x):
    return keras_kd.SoftLabels.write(None, teacher=teacher, data=x, batch_size=BATCH, verbose=0)


def training(_):
    """Measures an epoch on the stored mean of three teachers against one of labels alone."""
    x, y = images(30 * BATCH)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kinds = [[network() for _ in range(3)], network()]
    kinds = dict(zip(("three", "one"), [written(each, x) for each in kinds]))
    alone = resnet8()
    alone.compile("adam", loss=loss)
    plain = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(BATCH).prefetch(-1)
    plain = untuned(plain)
    systems = {"alone": lambda: alone.fit(plain, verbose=0)}
    for name, soft in kinds.items():
        distiller = keras_kd.Distiller(student=resnet8(), teacher=soft)
        distiller.compile("adam", loss=loss)
        rows = soft.dataset(x, y, batch_size=BATCH)
        systems[name] = lambda d=distiller, r=rows: d.fit(r, verbose=0)
    seconds = compared(systems)
    found = {f"{name} / alone": ratio(seconds, name, "alone") for name in kinds}
    return {"seconds": medians(seconds), **found}


def resnet56():
    if _DATA.value is None:
        return resnet8()
    folder = pathlib.Path(_DATA.value) / "pretrained" / "resnet_cifar10"
    return keras.models.load_model(folder / "resnet56_cifar10.keras")


def in_precision(model, policy):
    """Returns a copy of the model that computes in another precision."""

    def recast(layer):
        return layer.__class__.from_config({**layer.get_config(), "dtype": policy})

    copy = keras.models.clone_model(model, clone_function=recast)
    copy.set_weights(model.get_weights())
    return copy


def by_xla(model):
    """Returns a teacher that asks a model through XLA."""
    call = tf.function(lambda x: model(x, training=False), jit_compile=True)
    return teachers.Function(lambda x: call(x).numpy(), head="logits")


def recipes(folder):
    """Measures what else a Keras teacher may be asked as."""
    count = 15 * BATCH
    x, y = images(count + 256)
    calibration, x, y = x[count:], x[:count], y[:count]
    model, path = resnet56(), folder / "teacher.tflite"
    keras_kd.export.tflite(
        model, path, quantization="int8", calibration=calibration, batch_size=32, tolerance=1.0
    )
    kinds = {
        "float32": model,
        "XLA": by_xla(model),
        "bfloat16": in_precision(model, "mixed_bfloat16"),
        "float16": in_precision(model, "mixed_float16"),
        "int8 .tflite": teachers.TFLite(path, head="logits"),
    }
    logits = {name: written(each, x).arrays() for name, each in kinds.items()}
    top = {name: next(iter(each.values())).argmax(-1) for name, each in logits.items()}
    seconds = compared({n: lambda t=each: written(t, x) for n, each in kinds.items()})
    return {
        "images": count,
        "seconds": medians(seconds),
        "/ float32": {name: ratio(seconds, name, "float32") for name in kinds},
        "same class as float32": {n: float(np.mean(t == top["float32"])) for n, t in top.items()},
        "top-1": {name: float(np.mean(t == y)) for name, t in top.items()},
    }


def main(_):
    path = RESULTS / "teachers.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        for part in _PARTS.value:
            results[part] = globals()[part](pathlib.Path(folder))
            print(json.dumps({part: results[part]}, indent=2), flush=True)
    results["data"] = "CIFAR-10, trained ResNet-56" if _DATA.value else "random"
    command = "python benchmarks/teachers.py" + (" --data=DIR" if _DATA.value else "")
    print("written to", save("teachers", command, results).name)


if __name__ == "__main__":
    app.run(main)
