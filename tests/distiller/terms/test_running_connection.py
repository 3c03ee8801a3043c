"""What only the running step shows of the signals: sizes, and numbers that are not finite."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term, projectors
from keras_kd.losses import (
    AttentionTransfer,
    ChannelWise,
    Hint,
    LogitMSE,
    SelfRelation,
    Variational,
)
from tests.distiller.terms.nets_of_convolutions import build, net, refused


def of_any_size(strides):
    images = keras.Input((None, None, 3))
    conv = layers.Conv2D(4, 3, strides, padding="same", name="conv")(images)
    return keras.Model(images, layers.Dense(3)(layers.GlobalAveragePooling2D()(conv)))


def test_sizes_that_only_the_first_batch_shows():
    distiller = build(Hint(), models=(of_any_size(1), of_any_size(2)))
    distiller.compile("sgd")
    with pytest.raises(
        ValueError, match=r"must fit the loss of term 'mine'.*\((None|4), 4, 4, 4\)"
    ):
        distiller.fit(np.zeros((4, 8, 8, 3), "float32"), verbose=0)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere sizes are known")
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("loss", "student", "teacher"),
    [
        (Hint(), 1, 2),
        (Hint(), (1, 2), (2, 1)),
        (Hint(), 1, 8),
        (ChannelWise(), (1, 2), (2, 1)),
        (AttentionTransfer(), (1, 2), (2, 1)),
        (keras.losses.MeanSquaredError(), 1, 8),
        (LogitMSE(), 1, 8),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_sizes_that_only_the_running_step_knows(jit, loss, student, teacher):
    distiller = build(loss, models=(of_any_size(student), of_any_size(teacher)))
    refused_at_run_time(distiller, np.zeros((4, 8, 8, 3), "float32"), jit)


def refused_at_run_time(distiller, batch, jit):
    """Expects a step on a dataset of unknown sizes to fail, and to name the term but by XLA."""
    import tensorflow as tf

    spec = tf.TensorSpec((*(None for _ in batch.shape[:-1]), batch.shape[-1]), "float32")
    batches = tf.data.Dataset.from_generator(lambda: [batch], output_signature=spec)
    distiller.compile("sgd", jit_compile=jit)
    words = "must match.*node mine" if jit else "must fit the loss.*others, at mine"
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s){words}"):
        distiller.fit(batches, verbose=0)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere sizes are known")
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("loss", [SelfRelation(2), Variational()], ids=lambda loss: loss.name)
def test_tokens_that_only_the_running_step_knows(jit, loss):
    def net(strides):
        tokens = keras.Input((None, 3))
        conv = layers.Conv1D(4, 3, strides, padding="same", name="conv")(tokens)
        return keras.Model(tokens, layers.Dense(3)(layers.GlobalAveragePooling1D()(conv)))

    projector = projectors.Variational() if isinstance(loss, Variational) else None
    distiller = build(loss, projector=projector, models=(net(1), net(8)))
    refused_at_run_time(distiller, np.zeros((4, 8, 3), "float32"), jit)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere sizes are known")
@pytest.mark.parametrize("loss", [Hint(), AttentionTransfer(), ChannelWise(), SelfRelation(2)])
def test_equal_sizes_give_the_value_of_known_ones(loss):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shape = (2, 5, 4) if isinstance(loss, SelfRelation) else (2, 3, 5, 4)
    teacher, student = rng.normal(size=(2, *shape)).astype("float32")
    spec = tf.TensorSpec((None,) * (len(shape) - 1) + shape[-1:], "float32")
    for jit in (False, True):
        traced = tf.function(loss.call, input_signature=[spec, spec], jit_compile=jit)
        expected = loss.call(teacher, student)
        np.testing.assert_allclose(traced(teacher, student), expected, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_nan_in_a_signal_names_the_term(role):
    models = {"student": net(), "teacher": net()}
    kernel = models[role].get_layer("conv").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    distiller = build(Hint(), models=tuple(models.values()))
    distiller.compile("sgd")
    with refused(
        ValueError, rf"The {role}'s signal in term 'mine' must be finite.*first in batch 1"
    ):
        distiller.fit(np.ones((4, 8, 8, 3), "float32"), verbose=0)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_value_that_overflows_behind_its_signals_names_the_term():
    distiller = build(Hint(), projector=layers.Conv2D(6, 1, dtype="mixed_float16"))
    distiller.compile("sgd")
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    distiller.fit(x, verbose=0)
    with refused(ValueError, "The value of term 'mine' must be finite.*first in batch 1"):
        distiller.fit(1e5 * x, verbose=0)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_an_infinite_term_of_weight_0_adds_nothing():
    student, teacher = net(), net(6)
    kernel = teacher.get_layer("conv").kernel
    kernel.assign(np.full(kernel.shape, 1e30))
    term = Term(Hint(), 0.0, "conv", "conv", "auto")
    distiller = Distiller(student=student, teacher=teacher, terms=[term])
    distiller.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.ones((4, 8, 8, 3), "float32")
    logs = distiller.fit(x, np.zeros(4, int), verbose=0).history
    assert np.isinf(logs["hint"])
    assert logs["loss"] == logs["hard_loss"]
    assert all(np.isfinite(weight).all() for weight in distiller.get_weights())
    term.weight.assign(1.0)
    with refused(ValueError, "The value of term 'hint' must be finite"):
        distiller.fit(x, np.zeros(4, int), verbose=0)
