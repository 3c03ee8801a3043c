"""Wrong uses of terms on features are refused at construction, or on the first batch by name."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term
from keras_kd.losses import (
    ChannelWise,
    HierarchicalContext,
    Hint,
    ProbabilisticTransfer,
    Relational,
    SelfRelation,
    SimilarityPreserving,
    Variational,
)

FORM = re.compile(r" must .*\. Expected: .+\. Received: .+\. [A-Z].+\.$", re.DOTALL)


def refused(error, words):
    """Expects `error` with these words and in the form of all messages."""
    return pytest.raises(error, match=f"(?s){words}", check=lambda e: bool(FORM.search(str(e))))


def net(filters=4, size=8):
    images = keras.Input((size, size, 3))
    conv = layers.Conv2D(filters, 3, padding="same", name="conv")(images)
    pool = layers.GlobalAveragePooling2D(name="pool")(conv)
    return keras.Model(images, layers.Dense(3, name="logits")(pool))


def build(loss, student="conv", teacher="conv", projector=None, models=None):
    first, second = models or (net(4), net(6))
    term = Term(loss, teacher=teacher, student=student, projector=projector, name="mine")
    return Distiller(student=first, teacher=second, terms=[term])


@pytest.mark.parametrize(
    "loss", [Hint(), ChannelWise(), HierarchicalContext(), keras.losses.MeanSquaredError()]
)
def test_shapes_that_differ_without_a_projector(loss):
    with refused(ValueError, r"the loss of term 'mine'.*\(None, 8, 8, 6\).*\(None, 8, 8, 4\)"):
        build(loss)


def test_one_channel_is_not_broadcast():
    with refused(ValueError, "the loss of term 'mine'"):
        build(Hint(), models=(net(1), net(6)))


def test_a_layer_without_a_counterpart_is_compared_with_the_output():
    with refused(ValueError, r"the loss of term 'mine'.*\(None, 3\).*\(None, 8, 8, 4\)"):
        build(Hint(), teacher=None)
    with refused(ValueError, r"the loss of term 'mine'.*\(None, 8, 8, 6\).*\(None, 3\)"):
        build(Hint(), student=None)


def test_ranks_that_differ():
    with refused(ValueError, "projector='auto' of term 'mine' must have signals of one rank"):
        build(Hint(), teacher="pool", projector="auto")
    with refused(ValueError, "takes maps of one shape"):
        build(ChannelWise(), "pool", "pool", models=(net(), net()))
    with refused(ValueError, "takes vectors"):
        build(SelfRelation(2), "pool", "pool")
    with refused(ValueError, "relation_heads dividing each width"):
        build(SelfRelation(5), models=(net(), net()))
    with refused(ValueError, "the student's as mean and log-scale"):
        build(Variational(), models=(net(), net()))


def test_a_projector_that_gives_another_shape():
    with refused(ValueError, r"term 'mine'.*\(None, 8, 8, 5\)\. Correct the projector's"):
        build(Hint(), projector=layers.Conv2D(5, 1))


def test_a_projector_that_cannot_take_the_signal():
    with refused(ValueError, "projector of term 'mine' must take the student's signal"):
        build(Hint(), "pool", "pool", projector=layers.Conv2D(6, 1))


@pytest.mark.parametrize("projector", ["linear", 6, lambda x: x, layers.Dense])
def test_a_projector_is_a_layer(projector):
    with refused(TypeError, "projector must turn the student's signal"):
        Term(Hint(), teacher="conv", student="conv", projector=projector)


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_unknown_layers(role):
    with refused(ValueError, f"{role} of a Term must be the path of a layer.*'conv'"):
        build(Hint(), **{role: "covn"})


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_paths_are_strings(role):
    with refused(TypeError, f"{role} of a Term must be a layer path"):
        build(Hint(), **{role: 3})


@pytest.mark.parametrize("heads", [0, -1, 2.0, True, None])
def test_relation_heads(heads):
    with refused((TypeError, ValueError), "relation_heads must be a number of parts"):
        SelfRelation(heads)


@pytest.mark.parametrize("loss", [SimilarityPreserving(), ProbabilisticTransfer(), Relational()])
def test_relations_need_pairs(loss):
    distiller = build(loss)
    distiller.compile("sgd")
    x = np.zeros((4, 8, 8, 3), "float32")
    with refused(ValueError, "batch_size must be at least 2.*term 'mine'"):
        distiller.fit(x, batch_size=1, verbose=0)


def of_any_size(strides):
    images = keras.Input((None, None, 3))
    conv = layers.Conv2D(4, 3, strides, padding="same", name="conv")(images)
    return keras.Model(images, layers.Dense(3)(layers.GlobalAveragePooling2D()(conv)))


def test_sizes_that_only_the_first_batch_shows():
    distiller = build(Hint(), models=(of_any_size(1), of_any_size(2)))
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"must fit the loss of term 'mine'.*\(None, 4, 4, 4\)"):
        distiller.fit(np.zeros((4, 8, 8, 3), "float32"), verbose=0)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="elsewhere sizes are known")
@pytest.mark.parametrize("strides", [2, (2, 1)])
def test_sizes_that_only_the_running_step_knows(strides):
    import tensorflow as tf

    spec = tf.TensorSpec((None, None, None, 3), "float32")
    images = [np.zeros((4, 8, 8, 3), "float32")]
    batches = tf.data.Dataset.from_generator(lambda: images, output_signature=spec)
    distiller = build(Hint(), models=(of_any_size(1), of_any_size(strides)))
    distiller.compile("sgd", jit_compile=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must fit the loss.*others, at mine"):
        distiller.fit(batches, verbose=0)


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
