"""What do stored answers cost, to train from, to write, to keep and to read?

Questions, one a part:
  training  Is an epoch from stored answers as cheap as one of the student alone, with the same
            augmentation? CIFAR-10, the ResNet-8 of MLPerf Tiny, batch 128. Beside it the teacher
            asked online, by keras_kd and by keras.distillation. Required: at most 1.02.
  short     The same of epochs that are over at once, where what a pass costs once weighs most: 900
            digits of 8 x 8 pixels, batch 64, a student of three small convolutions. Required: at
            most 1.2.
  photos    Do several views of one decoded JPEG make training cheaper than training the student
            alone, which decodes an image for each view? Required: below 1.
  writing   Does `SoftLabels.write` show the teacher as many images a second as `predict` on the
            same batches? Required: at least 0.95.
  size      Bytes per sample and view, without the manifest. Required: at most 22 for 10 classes,
            48 for the top 10 of 1000.
  large     2,000,000 samples x 2 views x the top 10 of 1000 classes: `open` under 2 s, 500,000
            random ids a second, less than 300 MB more memory.

Baseline: the student alone, on a tf.data pipeline of shuffle, batch and the same augmentation with
seeds drawn at random, without tf.data's tuner, which would be measured instead. Interleaved medians
in one process.

    python benchmarks/soft_labels.py --data=DIR [--parts=training,writing]

DIR holds `cifar10/` and `pretrained/`, read by its `load_data.py`; without it, images and weights
are random, which costs the same.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import functools
import json
import pathlib
import sys
import tempfile

import keras
import large_folder
import numpy as np
import tensorflow as tf
from absl import app, flags
from interleaved import RESULTS, measure, save, summary
from resnet8 import resnet8

import keras_kd
from keras_kd import soft_labels
from keras_kd._pipelines import untuned
from keras_kd.soft_labels.writing.job import Job

PARTS = ("training", "short", "photos", "writing", "size", "large")
_DATA = flags.DEFINE_string("data", None, "Folder with load_data.py; default: random data.")
_PARTS = flags.DEFINE_list("parts", list(PARTS), "Which parts to run; the others' results stay.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Counted rounds.")
_STEPS = flags.DEFINE_integer("steps", 30, "Steps in an epoch.")

BATCH = 128
REQUIRED = {
    "stored / student": "<= 1.02",
    "stored digits / student": "<= 1.2",
    "4 views / student": "< 1",
    "write / predict, images per second": ">= 0.95",
    "bytes, 10 classes": "<= 22",
    "bytes, top 10 of 1000": "<= 48",
    "open, seconds": "< 2",
    "random ids per second": ">= 500000",
    "more memory, MB": "< 300",
}


def images(count):
    """Returns images of CIFAR-10 and their labels."""
    if _DATA.value is None:
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (count, 32, 32, 3)).astype("uint8"), rng.integers(0, 10, count)
    sys.path.insert(0, _DATA.value)
    from load_data import load

    (x, y), _ = load("cifar10")
    return x[:count], y[:count].astype("int64")


def resnet56():
    """Returns the teacher: 0.86 million parameters, 93.39 % on CIFAR-10."""
    if _DATA.value is not None:
        folder = pathlib.Path(_DATA.value) / "pretrained" / "resnet_cifar10"
        return keras.models.load_model(folder / "resnet56_cifar10.keras")
    x = inputs = keras.Input((32, 32, 3))
    for filters in (16, 32, 64):
        for block in range(9):
            strides = 2 if filters > 16 and not block else 1
            y = keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
            y = keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
            y = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
            y = keras.layers.BatchNormalization()(y)
            if y.shape != x.shape:
                x = keras.layers.Conv2D(filters, 1, strides, use_bias=False)(x)
            x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def pipeline(x, y, batch_size=BATCH):
    """Returns what a student is trained on without a teacher."""

    def shown(image, label):
        seeds = tf.random.uniform((tf.shape(image)[0], 2), maxval=2**31 - 1, dtype=tf.int32)
        return soft_labels.crop_flip(image, seeds), label

    dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(batch_size)
    return untuned(dataset.map(shown, num_parallel_calls=-1).prefetch(-1))


def epochs(model, data, **compiled):
    """Returns a callable that trains `model` for an epoch."""
    model.compile(keras.optimizers.SGD(0.01), loss=cross_entropy(), **compiled)
    return lambda: model.fit(data, verbose=0, shuffle=False)


def distilled(teacher, data, network=resnet8):
    return epochs(keras_kd.Distiller(student=network(), teacher=teacher), data)


def training():
    x, y = images(BATCH * _STEPS.value)
    teacher = resnet56()
    write = functools.partial(keras_kd.SoftLabels.write, None, data=x, batch_size=BATCH)
    soft = write(teacher=teacher, augment=soft_labels.crop_flip, views=2)
    mended = keras.distillation.LogitsDistillation(4.0, loss=keras.losses.KLDivergence())
    peer = keras.distillation.Distiller(
        teacher=teacher, student=resnet8(), distillation_losses=mended, student_loss_weight=0.1
    )
    plain = pipeline(x, y)
    systems = {
        "student": epochs(resnet8(), plain),
        "stored": distilled(soft, soft.dataset(x, y, batch_size=BATCH)),
        "online, keras_kd": distilled(teacher, plain),
        "online, keras.distillation": epochs(peer, plain),
    }
    seconds = measure(systems, _ROUNDS.value)
    return {
        "steps per epoch": _STEPS.value,
        "seconds per epoch": {name: summary(values) for name, values in seconds.items()},
        **against(seconds, "student"),
    }


def small_network():
    """Returns a student of 8 x 8 pixels: 1,310 parameters."""
    x = inputs = keras.Input((8, 8, 1))
    for filters, strides in ((4, 1), (8, 2), (8, 2)):
        x = keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


def short():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 17, (900, 8, 8, 1)).astype("uint8"), rng.integers(0, 10, 900)
    augment = functools.partial(soft_labels.crop_flip, padding=1)
    teacher = small_network()
    soft = keras_kd.SoftLabels.write(None, teacher=teacher, data=x, augment=augment, views=4)
    systems = {
        "student": epochs(small_network(), pipeline(x, y, 64)),
        "stored digits": distilled(soft, soft.dataset(x, y, batch_size=64), small_network),
    }
    seconds = measure(systems, 5 * _ROUNDS.value)
    return {
        "steps per epoch": 15,
        "seconds per epoch": {name: summary(values) for name, values in seconds.items()},
        **against(seconds, "student"),
    }


def against(seconds, baseline):
    """Returns the median over the rounds of each system's time in that of the baseline."""
    return {
        f"{name} / {baseline}": summary([a / b for a, b in zip(values, seconds[baseline])])
        for name, values in seconds.items()
        if name != baseline
    }


def photos():
    """Trains on JPEG files of 256 x 256 pixels, of which random crops are shown at 32 x 32."""
    small, y = images(8 * BATCH)
    large = tf.image.resize(small, (256, 256)).numpy().astype("uint8")
    encoded = [tf.io.encode_jpeg(image).numpy() for image in large]
    decode = functools.partial(tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE")

    def decoded(data, label):
        return tf.ensure_shape(decode(data), (256, 256, 3)), label

    augment = functools.partial(soft_labels.random_resized_crop, size=32)
    source = tf.data.Dataset.from_tensor_slices((encoded, y)).map(decoded, num_parallel_calls=-1)
    teacher = resnet8()
    soft = keras_kd.SoftLabels.write(None, teacher=teacher, data=source, augment=augment, views=8)

    def shown(image, label):
        seeds = tf.random.uniform((1, 2), maxval=2**31 - 1, dtype=tf.int32)
        return augment(image[None], seeds)[0], label

    files = tf.data.Dataset.from_tensor_slices((encoded, y)).shuffle(len(y))
    plain = files.map(decoded, num_parallel_calls=-1).map(shown, num_parallel_calls=-1)
    views = soft.attach(source, views_per_step=4).shuffle(4 * BATCH).batch(BATCH).prefetch(-1)
    systems = {
        "student": epochs(resnet8(), plain.batch(BATCH).prefetch(-1)),
        "4 views": distilled(soft, views),
    }
    samples = {"student": len(y), "4 views": 4 * len(y)}
    seconds = {
        name: [value / samples[name] * 1e6 for value in values]
        for name, values in measure(systems, _ROUNDS.value).items()
    }
    return {
        "seconds per million training samples": {n: summary(v) for n, v in seconds.items()},
        **against(seconds, "student"),
    }


def writing():
    x, _ = images(BATCH * 8)
    teacher, views = resnet56(), 2
    given = {"views": views, "seed": 0, "batch_size": BATCH, "dtype": "float16"}
    given |= {"top_k": None, "temperatures": (4.0,), "signals": []}
    job = Job.of(teacher, x, soft_labels.crop_flip, **given)
    soft = keras_kd.SoftLabels(job.content, job.to_memory(0), job.augmentation, None)
    shown = [batch[0]["keras_kd.input"] for batch in soft.dataset(x, batch_size=BATCH)] * views
    batches = tf.data.Dataset.from_tensor_slices(tf.stack(shown)).prefetch(-1)
    systems = {
        "predict": lambda: teacher.predict(batches, verbose=0),
        "write": lambda: job.to_memory(0),
        "whole call": lambda: Job.of(teacher, x, soft_labels.crop_flip, **given).to_memory(0),
    }
    seconds = measure(systems, _ROUNDS.value)
    ratio = [a / b for a, b in zip(seconds["predict"], seconds["write"])]
    rates = {name: [len(x) * views / v for v in values] for name, values in seconds.items()}
    return {
        "images per second": {name: summary(values) for name, values in rates.items()},
        "write / predict, images per second": summary(ratio),
    }


def size():
    sizes = {}
    for name, classes in (("bytes, 10 classes", 10), ("bytes, top 10 of 1000", 1000)):
        teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(classes)])
        x = np.random.default_rng(0).normal(size=(20_000, 4)).astype("float32")
        with tempfile.TemporaryDirectory() as folder:
            keras_kd.SoftLabels.write(folder, teacher=teacher, data=x, batch_size=2048, verbose=0)
            total = sum(path.stat().st_size for path in pathlib.Path(folder).glob("*.npy"))
        sizes[name] = total / len(x)
    return sizes


def large():
    return large_folder.costs()


def medians(value):
    """Returns a result without quartiles and samples."""
    if not isinstance(value, dict):
        return value
    return value["median"] if "median" in value else {k: medians(v) for k, v in value.items()}


def main(_):
    keras.utils.set_random_seed(0)
    path = RESULTS / "soft_labels.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    for part in _PARTS.value:
        print(f"\n{part}")
        results[part] = globals()[part]()
        for name, value in results[part].items():
            value = medians(value)
            required = f"  required {REQUIRED[name]}" if name in REQUIRED else ""
            print(f"  {name}: {value}{required}")
        command = "python benchmarks/soft_labels.py --data=DIR"
        save("soft_labels", command, {name: results[name] for name in PARTS if name in results})


if __name__ == "__main__":
    app.run(main)
