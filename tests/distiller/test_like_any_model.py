"""A Distiller trains as Keras trains any model: the student, on the teacher's logits as labels.

With the teacher's answers computed beforehand, `SoftTargets` is an ordinary loss. So whatever
optimizer, input or way to run is chosen, a Distiller and the student under `compile(loss=
SoftTargets())` must reach the same weights.
"""

import csv

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller
from keras_kd.losses import SoftTargets

TENSORFLOW = keras.backend.backend() == "tensorflow"
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def student():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.25, seed=3),
            layers.Dense(3),
        ]
    )


@pytest.fixture
def teacher(net):
    return net(width=32)


def trained(model, x, y, how=None, fit=None, **compiled):
    """Trains for three epochs of batches of 5 and returns the history."""
    model.compile(how() if how else keras.optimizers.SGD(0.1), **compiled)
    given = {"epochs": 3, "shuffle": False, "verbose": 0, **(fit or {})}
    return model.fit(*(x, y) if y is not None else (x,), **given)


def assert_alike(student, reference, atol=1e-6):
    for a, b in zip(student.get_weights(), reference.get_weights()):
        np.testing.assert_allclose(a, b, atol=atol)


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "clipnorm": lambda: keras.optimizers.SGD(0.1, clipnorm=0.05),
    "global_clipnorm": lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.05),
    "clipvalue": lambda: keras.optimizers.SGD(0.1, clipvalue=0.01),
    "accumulation": lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
    "ema": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=None),
    "weight decay": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 12)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(teacher, data, name):
    x, _ = data
    distiller, reference = (
        Distiller(student=student(), teacher=teacher, terms=[SoftTargets()]),
        student(),
    )
    fit = {"batch_size": 5}
    trained(distiller, x, None, OPTIMIZERS[name], fit)
    trained(reference, x, np.asarray(teacher(x)), OPTIMIZERS[name], fit, loss=SoftTargets())
    assert_alike(distiller.student, reference)


WAYS = {
    "jit": {"jit_compile": True},
    "no jit": {"jit_compile": False},
    "eager": {"run_eagerly": True},
    "steps per execution": {"steps_per_execution": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_to_run(teacher, data, way):
    x, _ = data
    distiller, reference = (
        Distiller(student=student(), teacher=teacher, terms=[SoftTargets()]),
        student(),
    )
    fit = {"batch_size": 5}
    trained(distiller, x, None, fit=fit, **WAYS[way])
    trained(reference, x, np.asarray(teacher(x)), fit=fit, loss=SoftTargets(), **WAYS[way])
    assert_alike(distiller.student, reference)


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 5

    def __getitem__(self, index):
        part = tuple(array[5 * index : 5 * index + 5] for array in self.arrays)
        return part if len(part) > 1 else part[0]


def generator(*arrays):
    def endless():
        while True:
            for index in range(5):
                yield tuple(array[5 * index : 5 * index + 5] for array in arrays)

    return endless()


def tf_data(*arrays):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(5)


@pytest.mark.parametrize(
    ("source", "fit"),
    [
        (Batches, {}),
        (generator, {"steps_per_epoch": 5}),
        pytest.param(tf_data, {}, marks=pytest.mark.tensorflow),
    ],
)
@pytest.mark.parametrize("extras", [0, 1, 2], ids=["x", "x y", "x y w"])
def test_sources_of_data(teacher, data, source, fit, extras):
    x, y = data
    weights = np.linspace(0, 2, 24).astype("float32")
    arrays = (x, y, weights)[: extras + 1]
    reference = Distiller(student=student(), teacher=teacher)
    distiller = Distiller(student=student(), teacher=teacher)
    loss = CROSS_ENTROPY if extras else None
    keywords = dict(zip(["x", "y", "sample_weight"], arrays))
    trained(distiller, source(*arrays), None, fit=fit, loss=loss)
    reference.compile(keras.optimizers.SGD(0.1), loss=loss)
    reference.fit(**keywords, batch_size=5, epochs=3, shuffle=False, verbose=0)
    assert_alike(distiller.student, reference.student)


def test_on_batches(teacher, data):
    x, y = data
    distiller, reference = (Distiller(student=student(), teacher=teacher) for _ in range(2))
    for model in (distiller, reference):
        model.compile(keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY, metrics=["accuracy"])
    weights = np.linspace(0, 2, 24).astype("float32")
    for _ in range(3):
        distiller.reset_metrics()  # Keras 3.8 does not
        logs = distiller.train_on_batch(x, y, sample_weight=weights, return_dict=True)
    history = reference.fit(
        x, y, sample_weight=weights, batch_size=24, epochs=3, shuffle=False, verbose=0
    ).history
    assert_alike(distiller.student, reference.student)
    assert logs == pytest.approx({name: values[-1] for name, values in history.items()}, rel=1e-5)
    distiller.reset_metrics()
    assert distiller.test_on_batch(x, y, return_dict=True) == pytest.approx(
        reference.evaluate(x, y, verbose=0, return_dict=True), rel=1e-5
    )
    first, by_class = (Distiller(student=student(), teacher=teacher) for _ in range(2))
    for model in (first, by_class):
        model.compile(keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY)
    first.train_on_batch(x, y, sample_weight=np.float32([0.5, 2.0, 1.0])[y])
    by_class.train_on_batch(x, y, class_weight={0: 0.5, 1: 2.0, 2: 1.0})
    assert_alike(first.student, by_class.student)


def test_mixed_precision(teacher, data):
    x, _ = data

    def half():
        keras.utils.set_random_seed(1)
        return keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(8, activation="relu", dtype="mixed_float16"),
                layers.Dense(3, dtype="mixed_float16"),
            ]
        )

    distiller, reference = Distiller(student=half(), teacher=teacher, terms=[SoftTargets()]), half()
    trained(distiller, x, None)
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    trained(
        reference,
        x,
        np.asarray(teacher(x)),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
        loss=SoftTargets(),
    )
    assert_alike(distiller.student, reference, atol=1e-4)


def test_callbacks(teacher, data, tmp_path):
    x, y = data
    logs = tmp_path / "logs.csv"
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=0, min_delta=1e3),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
        keras.callbacks.CSVLogger(logs),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.ReduceLROnPlateau(monitor="soft_targets"),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch)),
    ]
    distiller = Distiller(student=student(), teacher=teacher)
    fit = {"validation_data": (x, y), "callbacks": callbacks, "epochs": 9}
    trained(distiller, x, y, fit=fit, loss=CROSS_ENTROPY, metrics=["accuracy"])
    with open(logs) as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2  # stopped early
    assert {"epoch", "loss", "hard_loss", "soft_targets", "accuracy", "val_loss"} <= set(rows[0])
    assert callbacks == fit["callbacks"]
    loaded = keras.saving.load_model(tmp_path / "2.keras")
    assert_alike(loaded.student, distiller.student)
    again = Distiller(student=student(), teacher=teacher)
    again.load_weights(tmp_path / "2.weights.h5")
    assert_alike(again.student, distiller.student)


def test_a_list_of_callbacks_made_by_hand_serves_twice(teacher, data):
    x, y = data
    distiller = Distiller(student=student(), teacher=teacher)
    distiller.compile("sgd", loss=CROSS_ENTROPY)
    given = keras.callbacks.CallbackList([], add_history=True, model=distiller)
    listed = list(given.callbacks)
    distiller.fit(x, y, callbacks=given, verbose=0)
    assert given.callbacks == listed
    teacher.set_weights([np.full_like(weight, np.nan) for weight in teacher.get_weights()])
    other = Distiller(student=student(), teacher=teacher)
    other.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(ValueError, match="NaN"):
        other.fit(x, y, callbacks=given, verbose=0)


@pytest.mark.tensorflow
def test_tensorboard(teacher, data, tmp_path):
    pytest.importorskip("tensorboard")
    x, y = data
    board = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq=1)
    distiller = Distiller(student=student(), teacher=teacher)
    fit = {"callbacks": [board], "validation_data": (x, y)}
    trained(distiller, x, y, fit=fit, loss=CROSS_ENTROPY)
    assert list(tmp_path.glob("train/events*"))
    assert list(tmp_path.glob("validation/events*"))


def test_validation_split_and_class_weights(teacher, data):
    x, y = data
    distiller = Distiller(student=student(), teacher=teacher)
    fit = {"validation_split": 0.25, "class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}
    history = trained(distiller, x, y, fit=fit, loss=CROSS_ENTROPY, metrics=["accuracy"]).history
    assert {"val_loss", "val_accuracy"} < set(history)


def test_a_subclass_may_override_the_step(teacher, data):
    x, y = data
    seen = []

    class Mine(Distiller):
        def train_step(self, *args):
            seen.append(len(args))
            return super().train_step(*args)

    distiller = Mine(student=student(), teacher=teacher)
    trained(distiller, x, y, loss=CROSS_ENTROPY)
    assert seen == [1 if TENSORFLOW else 2]
