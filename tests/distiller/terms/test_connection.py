"""What a Term connects: what fits, and what is refused before training."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term, projectors
from keras_kd.losses import (
    AttentionTransfer,
    ChannelWise,
    CosineHint,
    HierarchicalContext,
    Hint,
    LogitMSE,
    ProbabilisticTransfer,
    Relational,
    SelfRelation,
    SimilarityPreserving,
    Variational,
)
from tests.distiller.terms.nets_of_convolutions import build, net, refused


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


@pytest.mark.parametrize(
    ("loss", "student", "teacher", "mend"),
    [
        (Hint(), "pool", "conv", "give[s]? the teacher's shape"),
        (Hint(), "conv", "pool", r"GlobalAveragePooling2D\(\), keras.layers.Dense\(6\)"),
    ],
)
@pytest.mark.parametrize("projector", [None, "auto"])
def test_what_mends_ranks_that_differ(loss, student, teacher, mend, projector):
    mend = "give[s]? the teacher's shape" if projector is None else mend
    with refused(ValueError, mend):
        build(loss, student, teacher, projector)


def test_what_mends_layers_that_do_not_suit_the_loss():
    with refused(ValueError, r"\. Compare other layers\."):
        build(ChannelWise(), "pool", "pool")
    with refused(ValueError, "Choose relation_heads that divides both"):
        build(SelfRelation(5), models=(net(5), net(6)))


def test_a_projector_of_known_input_that_gives_another_shape():
    projector = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(5, 1)])
    with refused(ValueError, r"shape \(None, 8, 8, 5\)\. Correct the projector's last layer"):
        build(Hint(), projector=projector)


def test_a_projector_built_for_other_signals():
    dense = layers.Dense(6)
    dense.build((None, 9))
    with refused(ValueError, "must take the student's signal.*Pass a new layer"):
        build(Hint(), projector=dense)


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_projector_of_a_models_own_layers(role):
    models = {"student": net(4), "teacher": net(6)}
    last = models[role].get_layer("logits")
    projector = keras.Sequential([layers.Dense(last.kernel.shape[0]), last])
    terms = [Term(LogitMSE(), student="pool", projector=projector, name="mine")]
    with refused(ValueError, f"of term 'mine' must have weights.*'logits/kernel'.*the {role} has"):
        Distiller(**models, terms=terms)


def test_a_frozen_layer_of_the_teacher_in_a_projector(tmp_path):
    teacher, x = net(6), np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
    last = teacher.get_layer("logits")
    last.trainable = False
    projector = keras.Sequential([layers.Dense(6), last])
    terms = [Term(LogitMSE(), student="pool", projector=projector, name="mine")]
    distiller = Distiller(student=net(4), teacher=teacher, terms=terms)
    before = teacher.get_weights()
    distiller.compile("sgd", loss="mse")
    distiller.fit(x, np.ones((8, 3)), verbose=0)
    for a, b in zip(before, teacher.get_weights()):
        np.testing.assert_array_equal(a, b)
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    for a, b in zip(distiller.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("sizes", [4, (4,), (4, 0), ("4", 4), (4, None)])
def test_sizes_of_a_projector(sizes):
    with refused((TypeError, ValueError), "sizes must be"):
        projectors.Linear(sizes=sizes)


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize("path", ["", 3, ["conv"], keras.Input((3,))])
def test_paths_are_strings(role, path):
    with refused(TypeError, f"{role} of a Term must be a layer path"):
        Term(Hint(), **{role: path})


def test_an_output_of_a_student_that_has_one():
    with refused(ValueError, "Leave output= out"):
        Distiller(student=net(4), teacher=net(6), terms=[Term(LogitMSE(), output="logits")])


def test_a_projector_that_gives_another_shape():
    with refused(ValueError, r"term 'mine'.*\(None, 8, 8, 5\)\. Correct the projector's"):
        build(Hint(), projector=layers.Conv2D(5, 1))


def test_a_projector_that_cannot_take_the_signal():
    with refused(ValueError, "projector of term 'mine' must take the student's signal"):
        build(Hint(), "pool", "pool", projector=layers.Conv2D(6, 1))


@pytest.mark.parametrize("projector", [None, layers.Conv2D(6, 1)])
def test_mean_and_scale_come_from_one_projector(projector):
    with refused(ValueError, r"Pass projector='auto' to the Term, or keras_kd.projectors.Vari"):
        build(Variational(), projector=projector)


def test_an_automatic_projector_gives_mean_and_scale_where_the_loss_takes_them():
    term = build(Variational(), projector="auto").terms[0]
    assert isinstance(term.projector, projectors.Variational)
    assert [w.shape[-1] for w in term.projector.weights].count(6)


@pytest.mark.parametrize("filters", [6, 4])
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_term_serves_one_pair_of_signals(filters, role):
    term = Term(Hint(), teacher="conv", student="conv", projector="auto", name="mine")
    Distiller(student=net(4), teacher=net(filters), terms=[term])
    models = {"student": net(4), "teacher": net(filters)} | {role: net(5)}
    with refused(ValueError, "term 'mine'.*Make a new Term, because this one has been"):
        Distiller(**models, terms=[term])


@pytest.mark.parametrize(
    ("loss", "teacher"),
    [
        (AttentionTransfer(), np.ones((2, 4, 3), "float32")),
        (SimilarityPreserving(), np.ones((2, 3), "float32")),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_mask_of_other_positions(loss, teacher):
    y_true = {"teacher": teacher, "mask": np.ones((2, 8), bool)}
    with refused(ValueError, r"the same positions where there is a mask.*\(8,\).*\(2, "):
        loss.call(y_true, np.ones((2, 8, 3), "float32"))


@pytest.mark.parametrize("loss", [Hint(), CosineHint(), HierarchicalContext(), Variational()])
def test_a_mask_that_would_be_ignored(loss):
    features = np.ones((2, 8, 8, 3), "float32")
    y_true = {"teacher": features, "mask": np.ones((2, 8, 8), bool)}
    with refused(ValueError, "must be given no mask in y_true"):
        loss.call(y_true, features)


@pytest.mark.parametrize("projector", ["linear", 6, lambda x: x, layers.Dense])
def test_a_projector_is_a_layer(projector):
    with refused(TypeError, "projector must turn the student's signal"):
        Term(Hint(), teacher="conv", student="conv", projector=projector)


def test_a_projector_belongs_to_one_term():
    shared = layers.Dense(6)
    for pair in ([shared, shared], [shared, keras.Sequential([shared])]):
        terms = [
            Term(Hint(), None, "conv", "conv", projector, name=name)
            for name, projector in zip("ab", pair)
        ]
        with refused(ValueError, "Each term must have a projector of its own.*in both 'a' and 'b'"):
            Distiller(student=net(4), teacher=net(6), terms=terms)


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_unknown_layers(role):
    with refused(ValueError, f"{role} of a Term must be the path of a layer.*'conv'"):
        build(Hint(), **{role: "covn"})


@pytest.mark.parametrize("heads", [0, -1, 2.0, True, None])
def test_relation_heads(heads):
    with refused((TypeError, ValueError), "relation_heads must be an integer of at least 1"):
        SelfRelation(heads)


@pytest.mark.parametrize("loss", [SimilarityPreserving(), ProbabilisticTransfer(), Relational()])
def test_relations_need_pairs(loss):
    distiller = build(loss)
    distiller.compile("sgd")
    x = np.zeros((4, 8, 8, 3), "float32")
    for given, batch_size in ((x, 1), (x[:1], None), (x[:1], 8)):
        with refused(ValueError, "Batches must have at least 2 examples.*term 'mine'.*of 1"):
            distiller.fit(given, batch_size=batch_size, verbose=0)
    assert distiller.train_function is None  # before any step


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.tensorflow
def test_relations_need_pairs_in_datasets():
    import tensorflow as tf

    distiller = build(SimilarityPreserving())
    distiller.compile("sgd")
    data = tf.data.Dataset.from_tensor_slices(np.zeros((4, 8, 8, 3), "float32"))
    for labelled in (data, tf.data.Dataset.zip((data, tf.data.Dataset.range(4)))):
        with refused(ValueError, "Batches must have at least 2 examples.*term 'mine'.*of 1"):
            distiller.fit(labelled.batch(1, drop_remainder=True), verbose=0)
    with refused(ValueError, "at least 2 examples.*an example alone, first in batch 1 of epoch 1"):
        distiller.fit(data.batch(1).take(1), verbose=0)


class Alone(keras.utils.PyDataset):
    """A source of one batch of one example, whose size only the batch shows."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return (np.zeros((1, 8, 8, 3), "float32"),)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("loss", [SimilarityPreserving(), Hint()])
def test_a_first_batch_of_one_example(loss):
    distiller = build(loss, models=(net(), net()))
    distiller.compile("sgd")
    x = np.zeros((5, 8, 8, 3), "float32")
    distiller.fit(x, batch_size=2, verbose=0)  # the last batch is one example
    distiller.train_on_batch(x[:1])

    if isinstance(loss, Hint):
        distiller.fit(Alone(), verbose=0)
        return
    with refused(ValueError, "at least 2 examples.*an example alone, first in batch 1 of epoch 1"):
        distiller.fit(Alone(), verbose=0)
