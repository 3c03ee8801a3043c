"""Tasks: data, a teacher, a student and a budget.

Every task splits its data into three: `train`, `held_out` for all choices, and `test`, which is
scored once with `--test`.
"""

import dataclasses
import functools
import importlib.util
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from resnet8 import load_reference_weights, resnet8

from accuracy_suite import networks, scores
from accuracy_suite.definitions import digest

CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LABELS = keras.losses.BinaryCrossentropy(from_logits=True)
NUMBERS = keras.losses.MeanSquaredError()
Pair = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Data:
    """What a task learns from.

    Attributes:
        train: What the student is trained on; labels of -1 are missing.
        held_out: What choices are made on.
        test: What is scored once.
        teaching: What the teacher is trained on. Default: `train`.
    """

    train: Pair
    held_out: Pair
    test: Pair
    teaching: Pair | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """A student's task.

    Attributes:
        name: Its name.
        load: Returns the data, given the folder of `--data`.
        student: Builds the student.
        teacher: Builds the teacher, or `trained` does.
        trained: Returns a trained teacher, given the folder of `--data`, the data and its number.
        loss: On the labels; `LABELS` and `NUMBERS` tell what the outputs are.
        score: Returns points from 0 to 100 of labels and outputs.
        epochs: Of the student and of the teacher.
        batch: Examples in a step.
        rate: First learning rate of the student; Adam, on a cosine down to 0.
        augment: Views for the methods with views.
        views: How many.
        taught_as: The task that has the same teacher and training images, if another one has.
    """

    name: str
    load: Callable[[pathlib.Path | None], Data]
    student: Callable[[], keras.Model]
    teacher: Callable[[], keras.Model] | None = None
    trained: Callable[[pathlib.Path | None, Data, int], keras.Model] | None = None
    loss: Any = CLASSES
    score: Callable[[np.ndarray, np.ndarray], float] = scores.accuracy
    epochs: int = 10
    batch: int = 128
    rate: float = 1e-2
    augment: Any = None
    views: int = 4
    taught_as: "Task | None" = None

    @property
    def teaching(self) -> str:
        """Names its teacher, and the answers to its training data: those of other code differ."""
        if self.taught_as:
            return self.taught_as.teaching
        made = digest(self.load, self.teacher, self.trained, self.loss, self.epochs, self.batch)
        return f"{self.name}.{made}"

    @property
    def definition(self) -> str:
        """Returns a hash of what the suite's own code makes of it."""
        names = [each.name for each in dataclasses.fields(self)]
        fields = [getattr(self, name) for name in names if name not in ("name", "taught_as")]
        return digest(*fields, self.teaching)

    @property
    def kind(self) -> str:
        """Whether it learns `"classes"`, `"labels"`, of which several may hold, or `"numbers"`."""
        return {id(CLASSES): "classes", id(LABELS): "labels"}.get(id(self.loss), "numbers")


def _loader(folder: pathlib.Path | None) -> Callable[[str], Any]:
    if folder is None:
        raise SystemExit("This task needs --data=DIR, a folder with load_data.py")
    sys.path.insert(0, str(folder))
    from load_data import load

    return load


def _digits(folder: pathlib.Path | None) -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].reshape(-1, 8, 8, 1).astype("float32"), y[order]
    return Data((x[:800], y[:800]), (x[800:1300], y[800:1300]), (x[1300:], y[1300:]))


def _fashion(folder: pathlib.Path | None, labelled: float = 1.0) -> Data:
    (x, y), (x_test, y_test) = _loader(folder)("fashion_mnist")
    x, x_test = (images[..., None].astype("float32") for images in (x, x_test))
    y, y_test = y.astype("int64"), y_test.astype("int64")
    student, other = slice(0, 10_000), slice(20_000, 30_000)
    known = y[student].copy()
    known[int(labelled * len(known)) :] = -1
    return Data(
        (x[student], known),
        (x[50_000:], y[50_000:]),
        (x_test, y_test),
        # Where labels are few, the teacher comes from elsewhere.
        teaching=(x[other], y[other]) if labelled < 1 else None,
    )


def _cifar10(folder: pathlib.Path | None) -> Data:
    (x, y), (x_test, y_test) = _loader(folder)("cifar10")

    def as_pair(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x.astype("float32"), y.astype("int64")

    return Data(
        as_pair(x[:10_000], y[:10_000]),
        as_pair(x[45_000:], y[45_000:]),
        as_pair(x_test, y_test),
    )


def _resnets(folder: pathlib.Path | None, data: Data, number: int) -> keras.Model:
    """Returns a ResNet-56; as the next ones a ResNet-20 and MLPerf Tiny's ResNet-8."""
    pretrained = folder / "pretrained"
    if number == 2:
        model = resnet8()
        load_reference_weights(model, pretrained / "mlperf_tiny" / "pretrainedResnet.h5")
        return model
    depth = (56, 20)[number]
    path = pretrained / "resnet_cifar10" / f"resnet{depth}_cifar10.keras"
    return keras.models.load_model(path, compile=False)


def _banking77(folder: pathlib.Path | None) -> Data:
    (texts, y), (texts_test, y_test), _ = _loader(folder)("banking77")
    order = np.random.default_rng(0).permutation(len(texts))
    texts, y = np.array(texts)[order], y[order].astype("int64")
    words = keras.layers.TextVectorization(3000, output_sequence_length=32)
    words.adapt(texts[:7000])
    x, x_test = (np.asarray(words(t)).astype("int32") for t in (texts, np.array(texts_test)))
    return Data((x[:7000], y[:7000]), (x[7000:], y[7000:]), (x_test, y_test.astype("int64")))


def _word_dropout() -> Any:
    from keras_kd import soft_labels

    @soft_labels.batched
    def word_dropout(tokens, seeds):
        draws = soft_labels.uniform(seeds, draw=0, shape=(32,))
        unknown = keras.ops.ones_like(tokens)
        return keras.ops.where((draws < 0.3) & (tokens > 0), unknown, tokens)

    return word_dropout


def _shift(padding: int = 1) -> Any:
    from keras_kd import soft_labels

    return functools.partial(soft_labels.crop_flip, padding=padding)


def _diamonds(target: str) -> Callable[[pathlib.Path | None], Data]:
    def load(folder: pathlib.Path | None) -> Data:
        import pandas as pd

        found = importlib.util.find_spec("plotnine")
        if found is None:
            raise SystemExit("The table of diamonds is in plotnine: pip install --no-deps plotnine")
        table = pd.read_csv(pathlib.Path(found.origin).parent / "data" / "diamonds.csv")
        table = table.sample(frac=1, random_state=0)
        clarities = ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF")
        grades = {"color": "DEFGHIJ", "clarity": clarities}
        for column, order in grades.items():
            table[column] = table[column].map({name: i for i, name in enumerate(order)})
        cuts = {"Fair": 0, "Good": 1, "Very Good": 2, "Premium": 3, "Ideal": 4}
        y = table["cut"].map(cuts).to_numpy("int64")
        price = np.log(table["price"].to_numpy("float32"))[:, None]
        if target == "cut":
            x = table.drop(columns=["cut", "price"]).assign(price=price[:, 0]).to_numpy("float32")
        else:
            x = table.drop(columns=["price"]).assign(cut=y).to_numpy("float32")
            y = (price - price[:10_000].mean()) / price[:10_000].std()
        x = (x - x[:10_000].mean(0)) / x[:10_000].std(0)
        parts = slice(0, 10_000), slice(10_000, 20_000), slice(20_000, 30_000)
        return Data(*((x[part], y[part]) for part in parts))

    return load


def _forest(folder: pathlib.Path | None, data: Data, seed: int) -> keras.Model:
    from sklearn.ensemble import RandomForestClassifier

    # Leaves of five: the answers to the forest's own training data are not one-hot.
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=seed, n_jobs=1)
    return networks.from_sklearn(forest.fit(*data.train), data.train[0].shape[1], 5)


def _boosting(folder: pathlib.Path | None, data: Data, seed: int) -> keras.Model:
    from sklearn.ensemble import HistGradientBoostingRegressor

    x, y = data.train
    boosting = HistGradientBoostingRegressor(max_iter=200, random_state=seed)
    return networks.from_sklearn(boosting.fit(x, y[:, 0]), x.shape[1], 1)


def _pairs(folder: pathlib.Path | None) -> Data:
    """Two garments over each other on 14 x 14 pixels: what is there?"""
    (x, y), (x_test, y_test) = _loader(folder)("fashion_mnist")

    def overlaid(x, y, count, seed):
        pairs = np.random.default_rng(seed).integers(0, len(x), (count, 2))
        small = x.reshape(-1, 14, 2, 14, 2).mean((2, 4))
        return small[pairs].max(1)[..., None].astype("float32"), np.eye(10)[y[pairs]].max(1)

    return Data(
        overlaid(x[:30_000], y[:30_000], 10_000, 0),
        overlaid(x[50_000:], y[50_000:], 5_000, 1),
        overlaid(x_test, y_test, 10_000, 2),
    )


def _student(*options: Any) -> Callable[[], keras.Model]:
    return functools.partial(networks.convolutional, *options)


_IMAGE = (28, 28, 1)
_FASHION = {
    "student": _student((4, 8, 8), _IMAGE, 255.0),
    "teacher": functools.partial(networks.residual, _IMAGE, 255.0),
}
_FASHION_5K = Task("fashion_5k", _fashion, **_FASHION, augment=_shift)
_FASHION_1PCT = Task("fashion_1pct", functools.partial(_fashion, labelled=0.01), **_FASHION)
TASKS = [
    Task(
        "digits",
        _digits,
        _student((4, 8), (8, 8, 1), 16.0, (1, 2)),
        functools.partial(networks.residual, (8, 8, 1), 16.0),
        epochs=40,
        batch=64,
    ),
    _FASHION_5K,
    Task(
        "banking77",
        _banking77,
        functools.partial(networks.bag_of_words, 8),
        functools.partial(networks.bag_of_words, 256, 512, 0.5),
        epochs=30,
        batch=64,
        augment=_word_dropout,
        views=8,
    ),
    Task(
        "cifar10",
        _cifar10,
        _student((8, 16, 32), (32, 32, 3), 255.0),
        trained=_resnets,
        epochs=15,
        augment=functools.partial(_shift, 4),
    ),
    Task(
        "forest",
        _diamonds("cut"),
        functools.partial(networks.dense, 9, (32,), 5),
        trained=_forest,
        epochs=20,
    ),
    Task(
        "labels",
        _pairs,
        _student((4, 8, 8), (14, 14, 1), 255.0),
        functools.partial(networks.residual, (14, 14, 1), 255.0),
        loss=LABELS,
        score=scores.mean_precision,
    ),
    _FASHION_1PCT,
    Task(
        "fashion_10pct",
        functools.partial(_fashion, labelled=0.1),
        **_FASHION,
        taught_as=_FASHION_1PCT,
    ),
    Task(
        "regression",
        _diamonds("price"),
        functools.partial(networks.dense, 9, (16,), 1),
        trained=_boosting,
        loss=NUMBERS,
        score=scores.explained_variance,
        epochs=20,
    ),
    Task(
        "fashion_20k",
        _fashion,
        _student((12, 24, 24), _IMAGE, 255.0),
        _FASHION["teacher"],
        augment=_shift,
        taught_as=_FASHION_5K,
    ),
]
