"""The two tasks: students, teachers' stored answers, data, and the budget of each row."""

import pathlib

import keras
import numpy as np
from keras import layers
from resnet8 import load_reference_weights, resnet8

import keras_kd

ALPHA, TEMPERATURE = 0.3, 4.0


class Task:
    """A task, of which `main` sets the folders.

    Args:
        name: Its name.
        epochs: Epochs by row; of `all` those of its three methods.
        batch_size: Examples in a step.
        rate: The learning rate at the beginning of the cosine.
    """

    def __init__(self, name, epochs, batch_size, rate):
        self.name, self.epochs, self.batch_size, self.rate = name, epochs, batch_size, rate
        self.cache = self.folder = pathlib.Path()
        self._data = None

    def data(self):
        """Returns `(x, y)` to train on, and to score on."""
        if self._data is None:
            self._data = self._load()
        return self._data

    def steps(self, epochs):
        """Returns the steps of some epochs."""
        return epochs * -(-len(self.data()[0][0]) // self.batch_size)

    def answers(self):
        """Returns the teacher's stored answers."""
        folder = self.cache / f"{self.name}.answers"
        return keras_kd.SoftLabels.write(folder, teacher=self._teacher(), data=self.data()[0][0])


class Digits(Task):
    """Digits of 8x8 pixels; the student is trained from scratch."""

    def _load(self):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        x, y = load_digits(return_X_y=True)
        x = x.reshape(-1, 8, 8, 1).astype("float32") / 16
        x, x_test, y, y_test = train_test_split(x, y, test_size=1 / 3, stratify=y, random_state=0)
        return (x, y), (x_test, y_test)

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
            fit(self, self.build(width=5), "alone", self.epochs["float32"]).save(path)
        return keras.saving.load_model(path, compile=False)

    def start(self, cache, side, train):
        """Returns the student that a method starts from."""
        path = cache / f"{self.name}.{side}.float32.keras"
        if train is None:
            return self.build()
        return keras.saving.load_model(path, compile=False)


class Cifar10(Task):
    """CIFAR-10; ResNet-8 starts from MLPerf Tiny's weights."""

    images = 25_000

    def _load(self):
        from load_data import load

        (x, y), (x_test, y_test) = load("cifar10")
        rows = np.random.default_rng(0).permutation(len(x))[: self.images]
        return (x[rows].astype("float32"), y[rows].astype("int32")), (
            x_test.astype("float32"),
            y_test.astype("int32"),
        )

    def build(self):
        """Returns the student with MLPerf Tiny's weights."""
        student = resnet8()
        path = self.folder / "pretrained/mlperf_tiny/pretrainedResnet.h5"
        load_reference_weights(student, path)
        return student

    def _teacher(self):
        path = self.folder / "pretrained/resnet_cifar10/resnet56_cifar10.keras"
        return keras.saving.load_model(path, compile=False)

    def start(self, cache, side, train):
        """Returns the student that a method starts from."""
        return self.build()


TASKS = (
    Digits(
        "digits",
        {"float32": 40, "qat8": 20, "qat4": 30, "pruned": 40, "clustered": 10},
        batch_size=64,
        rate=5e-3,
    ),
    Cifar10(
        "resnet8",
        {"float32": 1, "qat8": 1, "qat4": 2, "pruned": 5, "clustered": 1},
        batch_size=100,
        rate=5e-4,
    ),
)


def fit(task, student, side, epochs):
    """Trains a student, alone or by the stored answers, and returns it."""
    x, y = task.data()[0]
    decay = keras.optimizers.schedules.CosineDecay(task.rate, task.steps(epochs))
    how = {
        "optimizer": keras.optimizers.Adam(decay),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    if side == "alone":
        student.compile(**how)
        student.fit(x, y, batch_size=task.batch_size, epochs=epochs, verbose=2)
        return student
    soft = task.answers()
    distiller = keras_kd.Distiller(student=student, teacher=soft)
    distiller.compile(**how, alpha=ALPHA, temperature=TEMPERATURE)
    train = soft.dataset(x, y, batch_size=task.batch_size, shuffle=True)
    distiller.fit(train, epochs=epochs, verbose=2)
    return distiller.student
