"""Makes the pictures, numbers and tables of why_it_works.md.

Questions, one a part:
  similarity  What do a teacher's answers say beside the class? Held-out images.
  gradients   Do a student's gradients vary less under soft labels than under hard ones, on the same
              batches of training images? Variance over the squared length of the mean, so that the
              scale of a loss does not count; three students, before training and as it goes on.
  weights     How many of a teacher's weights can be set to 0, the smallest first, before it errs?
  students    What are teacher, student, distilled student and its int8 file on Fashion-MNIST?

    python docs/why_it_works.py --data=DIR [--parts=similarity,gradients,weights,students]

It takes about ten minutes of two cores, and as much again where the teacher of Fashion-MNIST is not
in the cache yet; `--images` and `--tested` make it longer and its numbers surer.

DIR holds `load_data.py` with Fashion-MNIST, CIFAR-10 and the networks trained on it. The numbers
become benchmarks/results/why_it_works.json, the pictures docs/images, both the tables of the page.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import itertools
import json
import pathlib
import sys

import keras
import numpy as np
from absl import app, flags

import keras_kd
from keras_kd.report import macs, plots

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))
# ruff: noqa: E402
from accuracy_suite.networks import convolutional, residual
from accuracy_suite.results import write_between_marks
from interleaved import RESULTS, save
from resnet8 import load_reference_weights, resnet8
from why_it_works_tables import TABLES

PARTS = ("similarity", "gradients", "weights", "students")
_DATA = flags.DEFINE_string("data", None, "Folder with load_data.py.", required=True)
_CACHE = flags.DEFINE_string("cache", "~/.cache/keras_kd/why_it_works", "Where teachers are kept.")
_IMAGES = flags.DEFINE_integer("images", 1024, "Training images that gradients are taken of.")
_TESTED = flags.DEFINE_integer("tested", 1000, "Held-out images that large networks are asked of.")
_PARTS = flags.DEFINE_list("parts", list(PARTS), "Which parts to run; the others' results stay.")
CLASSES = {
    "fashion_mnist": "T-shirt trouser pullover dress coat sandal shirt sneaker bag boot",
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SEEDS, STAGES, BATCH = 3, (0, 1, 3), 32
PRUNED = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def load(name):
    """Returns images with a channel axis and labels, to train on and to score on."""
    sys.path.insert(0, _DATA.value)
    from load_data import load

    return tuple((x.reshape(*x.shape[:3], -1), y.astype("int64")) for x, y in load(name))


def first(count, x, y):
    return x[:count].astype("float32"), y[:count]


def pretrained(name):
    """Returns a network trained on CIFAR-10."""
    folder = pathlib.Path(_DATA.value) / "pretrained"
    if name == "ResNet-8":
        model = resnet8()
        load_reference_weights(model, folder / "mlperf_tiny" / "pretrainedResnet.h5")
        return model
    return keras.models.load_model(
        folder / "resnet_cifar10" / f"{name.lower().replace('-', '')}_cifar10.keras"
    )


def teacher(name):
    """Returns the teacher of a data set; that of Fashion-MNIST is trained once."""
    if name == "cifar10":
        return pretrained("ResNet-56")
    path = pathlib.Path(_CACHE.value).expanduser() / "fashion_mnist.keras"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(0)
        model = residual((28, 28, 1), 255)
        trained(model, load(name)[0], epochs=3, rate=3e-3)
        model.save(path)
    return keras.models.load_model(path)


def student(name):
    return resnet8() if name == "cifar10" else convolutional((4, 8, 8), (28, 28, 1), 255)


def trained(model, data, epochs, rate=1e-2, loss=LOSS, held_out=None, **blend):
    """Trains on arrays `(x, y)`, or on a dataset of batches, and returns the history."""
    arrays = {"batch_size": 128} if isinstance(data, tuple) else {}
    batches = -(-len(data[0]) // 128) if arrays else len(data)
    decay = keras.optimizers.schedules.CosineDecay(rate, epochs * batches)
    model.compile(keras.optimizers.Adam(decay), loss, metrics=["accuracy"], **blend)
    data = data if arrays else [data]
    return model.fit(*data, epochs=epochs, verbose=2, validation_data=held_out, **arrays)


def draw(name, figure_of):
    """Writes a picture for light and for dark pages."""
    for dark in (False, True):
        path = HERE / "images" / f"{name}_{'dark' if dark else 'light'}.png"
        path.parent.mkdir(exist_ok=True)
        figure_of(dark).savefig(path, dpi=110, pil_kwargs={"optimize": True})


def similarity():
    found = {}
    for name, classes in CLASSES.items():
        _, (x, y) = load(name)
        x, y = first(2 * _TESTED.value, x, y)
        classes = classes.split()
        logits = teacher(name).predict(x, batch_size=256, verbose=0)
        shares = plots.similarity(logits, y)
        draw(f"similarity_{name}", functools.partial(_similarity_map, logits, y, classes))
        found[name] = {
            c: {other: round(float(s), 4) for other, s in zip(classes, row) if other != c}
            for c, row in zip(classes, shares)
        }
    return found


def _similarity_map(logits, y, classes, dark):
    return plots.class_similarity(logits, y, classes, dark=dark)


def variation(model, losses, x, y, logits):
    """Returns, for each loss, the gradient's variance between batches over its squared mean."""
    import tensorflow as tf

    @tf.function
    def gradients(x, y, logits):
        with tf.GradientTape(persistent=True) as tape:
            answers = model(x, training=True)
            values = {name: loss(y, logits, answers) for name, loss in losses.items()}
        weights = model.trainable_variables
        flat = {
            n: [tf.reshape(g, [-1]) for g in tape.gradient(v, weights)] for n, v in values.items()
        }
        return {name: tf.concat(parts, 0) for name, parts in flat.items()}

    rows = {name: [] for name in losses}
    for at in range(0, len(x), BATCH):
        part = slice(at, at + BATCH)
        for name, row in gradients(x[part], y[part], logits[part]).items():
            rows[name].append(row.numpy())
    return {name: _noise(np.stack(each)) for name, each in rows.items()}


def _noise(rows):
    mean, count = rows.mean(0, dtype="float64"), len(rows)
    variance = float(np.square(rows - mean).sum(dtype="float64") / (count - 1))
    # The mean of few batches is too long by the noise that is left in it.
    return variance / (float(mean @ mean) - variance / count)


def soft(temperature):
    loss = keras_kd.losses.SoftTargets(temperature)
    return lambda y, logits, answers: loss(logits, answers)


def gradients():
    losses = {"labels": lambda y, logits, answers: LOSS(y, answers)}
    losses |= {f"soft, T = {t}": soft(float(t)) for t in (1, 4, 10)}
    found = {}
    for name in CLASSES:
        (x, y), _ = load(name)
        x, y = first(_IMAGES.value, x, y)
        logits = teacher(name).predict(x, batch_size=256, verbose=0)
        ways = {"labels": (y, LOSS)}
        if name == "fashion_mnist":  # the larger networks take their time
            ways["soft, T = 4"] = (logits, keras_kd.losses.SoftTargets(4.0))
        noise = {}
        for (way, (target, loss)), seed in itertools.product(ways.items(), range(SEEDS)):
            keras.utils.set_random_seed(seed)
            model, done = student(name), 0
            for epochs in STAGES:
                if epochs > done:
                    trained(model, (x, target), epochs - done, rate=3e-3, loss=loss)
                    done = epochs
                unit = "epoch" if epochs == 1 else "epochs"
                row = f"{epochs} {unit} on {way}" if epochs else "not trained"
                if epochs or way == "labels":  # the other way begins as this one
                    stage = noise.setdefault(row, {each: [] for each in losses})
                    add_variation(stage, model, losses, x, y, logits)
        confidence = float(keras.ops.softmax(logits).numpy().max(-1).mean())
        found[name] = {"noise": noise, "teacher's confidence": confidence}
    return found


def add_variation(stage, model, losses, x, y, logits):
    """Measures the variation of each loss, and leaves the model as it was."""
    kept = model.get_weights()  # batch normalization counts on
    for loss, noise in variation(model, losses, x, y, logits).items():
        stage[loss].append(noise)
    model.set_weights(kept)


def weights():
    _, (x, y) = load("cifar10")
    x, y = first(_TESTED.value, x, y)
    found = {}
    for name in ("ResNet-56", "ResNet-20", "ResNet-8"):
        model = pretrained(name)
        kernels = [v for v in model.trainable_variables if v.path.endswith("kernel")]
        whole = [kernel.numpy() for kernel in kernels]
        sizes = np.sort(np.concatenate([np.abs(kernel).ravel() for kernel in whole]))
        right = []
        for share in PRUNED:
            bound = sizes[int(share * len(sizes))] if share else 0
            for kernel, value in zip(kernels, whole):
                kernel.assign(np.where(np.abs(value) >= bound, value, 0))
            right.append(float(np.mean(model.predict(x, 256, verbose=0).argmax(-1) == y)))
        found[name] = {
            "parameters": model.count_params(),
            "MACs": macs(model),
            "set to 0": list(PRUNED),
            "top-1": right,
        }
    return found


def students():
    data, (x, y) = load("fashion_mnist")
    data, x = (data[0].astype("float32"), data[1]), x.astype("float32")
    keras.utils.set_random_seed(0)
    models = {"Teacher": teacher("fashion_mnist"), "Student": student("fashion_mnist")}
    models["Distilled"] = keras.models.clone_model(models["Student"])
    models["Distilled"].set_weights(models["Student"].get_weights())
    soft = keras_kd.SoftLabels.write(None, teacher=models["Teacher"], data=data[0], verbose=0)
    # Alone is the same loop over the same batches, in which the teacher has no weight.
    for name, alpha in {"Student": 1.0, "Distilled": 0.5}.items():
        distiller = keras_kd.Distiller(student=models[name], teacher=soft)
        batches = soft.dataset(*data, batch_size=128)
        settings = {"alpha": alpha, "temperature": "auto", "held_out": (x, y)}
        history = trained(distiller, batches, epochs=4, **settings)
    path = pathlib.Path(_CACHE.value).expanduser() / "student.tflite"
    keras_kd.export.tflite(distiller, path, "int8", calibration=data[0][:500])
    comparison = keras_kd.report.compare({**models, "Distilled int8": path}, x, y)
    draw("learning_curves", functools.partial(_plot, plots.learning_curves, history))
    draw("accuracy_against_size", functools.partial(_plot, plots.accuracy_against_size, comparison))
    answers = [models[name].predict(x, 256, verbose=0) for name in ("Student", "Distilled")]
    shown = x, y, *answers, CLASSES["fashion_mnist"].split()
    draw("flipped", functools.partial(_plot, plots.flipped, *shown))
    return json.loads(comparison.to_json())


def _plot(plot, *arguments):
    *arguments, dark = arguments
    return plot(*arguments, dark=dark)


def main(_):
    file = RESULTS / "why_it_works.json"
    results = json.loads(file.read_text())["results"] if file.exists() else {}
    for part in _PARTS.value:
        results[part] = globals()[part]()
        save("why_it_works", "python docs/why_it_works.py --data=DIR", results)
    for name, table in TABLES.items():
        write_between_marks("docs/why_it_works.md", name, table(results))


if __name__ == "__main__":
    app.run(main)
