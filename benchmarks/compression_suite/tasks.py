"""The two tasks: students, teachers' stored answers, data, and the budget of each training."""

import pathlib

import keras
import numpy as np
from keras import layers
from resnet8 import load_reference_weights, resnet8

import keras_kd
from keras_kd import soft_labels
from keras_kd._pipelines import untuned

ALPHA, TEMPERATURE = 0.3, 4.0
# Of trainings so long that the teacher's word weighs more; the share of the labels, as ALPHA.
LONG, LONG_ALPHA = "long", 0.1


class Task:
    """A task, of which `main` sets the folders.

    Args:
        name: Its name.
        budgets: By training, the epochs and the learning rate at the beginning of the cosine.
        batch_size: Examples in a step.
    """

    augment, views = None, 1  # how images are shown, and how many ways are stored

    def __init__(self, name, budgets, batch_size):
        self.name, self.budgets, self.batch_size = name, budgets, batch_size
        self.cache = self.folder = pathlib.Path()
        self._data = None

    def data(self):
        """Returns `(x, y)` to train on, to choose by, and to score on."""
        if self._data is None:
            self._data = self._load()
        return self._data

    def steps(self, kind):
        """Returns the steps of a training."""
        return round(self.budgets[kind][0] * len(self.data()[0][0]) / self.batch_size)

    def rate(self, kind):
        """Returns the learning rate of a training."""
        return self.budgets[kind][1]

    def answers(self):
        """Returns the teacher's stored answers."""
        folder = self.cache / f"{self.name}.answers"
        shown = {"augment": self.augment, "views": self.views}
        images = self.data()[0][0]
        return keras_kd.SoftLabels.write(folder, teacher=self._teacher(), data=images, **shown)


class Digits(Task):
    """Digits of 8x8 pixels; the student is trained from scratch."""

    def _load(self):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        x, y = load_digits(return_X_y=True)
        x = x.reshape(-1, 8, 8, 1).astype("float32") / 16
        x, x_test, y, y_test = train_test_split(x, y, test_size=1 / 3, stratify=y, random_state=0)
        x, x_held, y, y_held = train_test_split(x, y, test_size=1 / 6, stratify=y, random_state=0)
        return (x, y), (x_held, y_held), (x_test, y_test)

    def build(self, width=1):
        """Returns the student, or a wider network."""
        x = inputs = keras.Input((8, 8, 1), name="image")
        for filters, strides in ((12, 1), (24, 2)):
            x = layers.Conv2D(filters * width, 3, strides, "same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Flatten()(layers.AveragePooling2D(2)(x))
        return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="digits")

    def _teacher(self):
        path = self.cache / "digits.teacher.keras"
        if not path.exists():
            keras.utils.set_random_seed(1)
            fit(self, self.build(width=5), "alone", "start").save(path)
        return keras.saving.load_model(path, compile=False)


class Cifar10(Task):
    """CIFAR-10; ResNet-8 starts from MLPerf Tiny's weights."""

    augment, views = staticmethod(soft_labels.crop_flip), 2
    held = 5_000

    def _load(self):
        from load_data import load

        (x, y), test = load("cifar10")
        rows = np.random.default_rng(0).permutation(len(x))
        parts = [(x[part], y[part]) for part in (rows[: -self.held], rows[-self.held :])]
        return tuple((x.astype("float32"), y.astype("int32")) for x, y in [*parts, test])

    def build(self):
        """Returns the student with MLPerf Tiny's weights."""
        student = resnet8()
        path = self.folder / "pretrained/mlperf_tiny/pretrainedResnet.h5"
        load_reference_weights(student, path)
        return student

    def _teacher(self):
        path = self.folder / "pretrained/resnet_cifar10/resnet56_cifar10.keras"
        return keras.saving.load_model(path, compile=False)


TASKS = (
    Digits(
        "digits",
        {
            "start": (60, 5e-3),
            "float32": (20, 5e-4),
            "qat8": (20, 5e-4),
            "qat4": (20, 5e-4),
            "pruned": (40, 5e-3),
            "half": (20, 5e-3),
            "clustered": (20, 5e-4),
            "all": (20, 5e-4),
        },
        batch_size=64,
    ),
    Cifar10(
        "resnet8",
        {
            "start": (0, 0.0),
            "float32": (2, 3e-4),
            "qat8": (3, 3e-4),
            "qat4": (3, 5e-4),
            "half": (5, 1e-3),
            "pruned": (12, 2e-3),
            LONG: (40, 2e-3),
            "clustered": (1, 1e-4),
            "all": (1, 1e-4),
        },
        batch_size=100,
    ),
)


def fit(task, student, side, kind, teacher=None):
    """Trains a student for a budget, and returns it.

    It learns from labels alone, from labels and the stored answers, or from a teacher alone.
    """
    (x, y), steps = task.data()[0], task.steps(kind)
    if not steps:
        return student
    epochs = task.budgets[kind][0]
    run = {"epochs": epochs, "steps_per_epoch": steps // epochs, "verbose": 2}
    if kind == LONG:
        run["callbacks"] = [keras.callbacks.BackupAndRestore(task.cache / f"{task.name}.{side}")]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    decay = keras.optimizers.schedules.CosineDecay(task.rate(kind), steps)
    how = {"optimizer": keras.optimizers.Adam(decay), "loss": loss}
    if side == "alone":
        student.compile(**how)
        student.fit(batches(task, kind), **run)
        return student
    if teacher is not None:
        distiller = keras_kd.Distiller(student=student, teacher=teacher)
        distiller.compile(how["optimizer"], alpha=0.0, temperature=1.0)
        distiller.fit(batches(task, kind), **run)
        return distiller.student
    soft = task.answers()
    distiller = keras_kd.Distiller(student=student, teacher=soft)
    alpha = LONG_ALPHA if kind == LONG else ALPHA
    distiller.compile(**how, alpha=alpha, temperature=TEMPERATURE)
    train = soft.dataset(x, y, batch_size=task.batch_size, shuffle=True)
    distiller.fit(train.repeat(), **run)
    return distiller.student


def batches(task, kind):
    """Returns the batches of a training, shuffled anew in each round."""
    import tensorflow as tf

    x, y = task.data()[0]
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=0).repeat()
    data = data.batch(task.batch_size)
    if task.augment is not None:
        drawn = tf.data.Dataset.random(seed=0).batch(2 * task.batch_size, drop_remainder=True)
        data = tf.data.Dataset.zip((data, drawn)).map(
            lambda batch, numbers: (_shown(task, batch[0], numbers), batch[1]), -1
        )
    return untuned(data.prefetch(2))


def _shown(task, images, numbers):
    import tensorflow as tf

    seeds = tf.cast(numbers % 2**31, tf.int32)
    return task.augment(images, tf.reshape(seeds, (-1, 2))[: tf.shape(images)[0]])
