"""A teacher's NaN is reported with the first batch that had it, in every way to run."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller

pytestmark = pytest.mark.numbers

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
MESSAGE = "The teacher must give finite answers.*NaN or Inf, first in batch "


def linear():
    """Returns a model whose answers are NaN where its input is; some kernels' ReLU makes it 0."""
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@pytest.fixture
def build():
    """Returns `f(**compile arguments)`: a compiled Distiller."""

    def distiller(**compiled):
        distiller = Distiller(student=linear(), teacher=linear())
        distiller.compile(
            "sgd", loss=CROSS_ENTROPY, **({"alpha": 0.1, "temperature": 4.0} | compiled)
        )
        return distiller

    return distiller


@pytest.fixture
def poisoned(data):
    """Returns a function that makes the teacher's answer to one example NaN."""

    def poison(index):
        x = data[0].copy()
        x[index, 0] = np.nan
        return x

    return poison


@pytest.mark.parametrize(
    "how",
    [{}, {"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 3}],
    ids=["graph", "jit", "eager", "steps"],
)
def test_the_first_bad_batch_is_named(build, poisoned, data, how):
    distiller = build(**how)
    with pytest.raises(ValueError, match=MESSAGE + r"4 of epoch 1 \(index 3\)"):
        distiller.fit(poisoned(13), data[1], batch_size=4, shuffle=False, verbose=0)


def test_the_first_execution_is_looked_at_before_the_second(build, poisoned, data):
    distiller = build()
    seen = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch)
    )
    with pytest.raises(ValueError, match=MESSAGE + "1 of the training data"):
        distiller.fit(
            poisoned(1), data[1], batch_size=4, shuffle=False, verbose=0, callbacks=[count]
        )
    assert seen == [0]


def test_later_epochs_too_before_other_callbacks_act(build, data, tmp_path):
    distiller = build()
    x, y = data

    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                teacher = distiller.teacher
                teacher.set_weights([np.full_like(w, np.inf) for w in teacher.get_weights()])

    kept = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    with pytest.raises(ValueError, match=MESSAGE + "1 of epoch 3"):
        distiller.fit(
            x,
            y,
            batch_size=4,
            epochs=4,
            verbose=0,
            callbacks=[Poison(), kept],
            validation_data=(x, y),
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.weights.h5", "2.weights.h5"]


def test_a_fault_is_forgotten_once_it_has_been_reported(build, poisoned, data):
    distiller = build(metrics=["accuracy"])
    x, y = data
    with pytest.raises(ValueError, match=MESSAGE):
        distiller.fit(poisoned(3), y, verbose=0)
    distiller.student.set_weights([np.zeros_like(w) for w in distiller.student.get_weights()])
    history = distiller.fit(x, y, verbose=0).history
    assert set(history) == {"loss", "hard_loss", "soft_targets", "accuracy"}


def test_evaluation_asks_no_teacher_and_reports_none(build, poisoned, data):
    distiller = build()
    assert np.isnan(distiller.evaluate(poisoned(3), data[1], verbose=0))


@pytest.fixture
def evaluating(data):
    """Returns a callback that evaluates in the middle of an epoch: `f(distiller, after batch)`."""

    def callback(distiller, after):
        def act(batch, logs):
            if batch == after:
                distiller.evaluate(*data, verbose=0)
                distiller.test_on_batch(*data)

        return keras.callbacks.LambdaCallback(on_train_batch_end=act)

    return callback


@pytest.mark.parametrize(("index", "batch"), [(9, 3), (21, 6)])
def test_an_evaluation_within_an_epoch_forgets_nothing(
    build, poisoned, data, evaluating, index, batch
):
    distiller = build()
    with pytest.raises(ValueError, match=MESSAGE + f"{batch} of epoch 1"):
        distiller.fit(
            poisoned(index),
            data[1],
            batch_size=4,
            shuffle=False,
            verbose=0,
            callbacks=[evaluating(distiller, after=3)],
        )
    distiller.student.set_weights([np.zeros_like(w) for w in distiller.student.get_weights()])
    distiller.evaluate(*data, verbose=0)


@pytest.mark.tensorflow
@pytest.mark.parametrize("index", [1, 22])
def test_any_replica_is_heard(poisoned, data, two_replicas, index):
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices((poisoned(index), data[1])).batch(8)
    with two_replicas.scope():
        distiller = Distiller(student=linear(), teacher=linear())
        distiller.compile("sgd", loss=CROSS_ENTROPY)
    with pytest.raises(ValueError, match=MESSAGE + str(index // 8 + 1)):
        distiller.fit(batches, shuffle=False, verbose=0)


@pytest.mark.parametrize(("name", "value"), [("alpha", 1.5), ("alpha", -0.1), ("temperature", 0.0)])
def test_what_is_assigned_must_stay_in_range(build, data, name, value):
    distiller = build()
    getattr(distiller, name).assign(value)
    with pytest.raises(ValueError, match=r"What is assigned to alpha.*must stay in range"):
        distiller.fit(*data, verbose=0)


def test_a_terms_weight_must_stay_in_range(build, data):
    distiller = build()
    distiller.terms[0].weight.assign(float("nan"))
    with pytest.raises(ValueError, match="must stay in range"):
        distiller.train_on_batch(*data)
