"""Projectors: shapes, values, and what a Term makes of them."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term, projectors
from keras_kd.losses import AttentionTransfer, Hint, ProbabilisticTransfer, SelfRelation
from keras_kd.losses import Variational as VariationalLoss


def connected(term, teacher, student):
    term.connect(teacher, student)
    return term.projector


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ((None, 4), (None, 6)),
        ((None, 5, 4), (None, 5, 6)),
        ((None, None, 4), (None, None, 6)),
        ((None, 8, 8, 4), (None, 8, 8, 6)),
        ((None, 8, 8, 4), (None, 4, 4, 6)),
        ((None, 7, 5, 4), (None, 4, 3, 6)),
        ((None, 4, 4, 4), (None, 8, 8, 6)),
        ((None, 8, 4, 4), (None, 4, 8, 6)),
        ((None, 8, 8, 4), (None, 4, 4, 4)),
        ((None, None, None, 4), (None, None, None, 6)),
        ((None, None, None, 4), (None, 8, 8, 6)),
        ((None, None, 4, 4), (None, 2, 2, 6)),
    ],
)
def test_auto_builds_the_smallest_that_fits(student, teacher):
    projector = connected(Term(Hint(), projector="auto"), teacher, student)
    assert projector.count_params() == student[-1] * teacher[-1] + teacher[-1]
    sizes = [3 if size is None else size for size in student]
    output = projector(np.ones(sizes, "float32"))
    expected = [3 if size is None else size for size in teacher]
    assert output.shape == tuple(expected)


@pytest.mark.parametrize(
    ("loss", "student", "teacher"),
    [
        (Hint(), (None, 4, 4, 6), (None, 4, 4, 6)),
        (ProbabilisticTransfer(), (None, 4), (None, 6)),
        (AttentionTransfer(), (None, 8, 8, 4), (None, 4, 4, 6)),
        (SelfRelation(relation_heads=2), (None, 5, 2, 4), (None, 5, 4, 4)),
    ],
)
def test_auto_builds_nothing_where_nothing_is_needed(loss, student, teacher):
    assert connected(Term(loss, projector="auto"), teacher, student) is None


def test_larger_maps_are_averaged_and_smaller_ones_resized():
    maps = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")
    for size in (2, 8):
        projector = projectors.Linear(3, sizes=(size, size))
        projector.build((None, 4, 4, 3))
        projector.projection.set_weights([np.eye(3), np.zeros(3)])
        expected = (
            maps.reshape(2, 2, 2, 2, 2, 3).mean((2, 4))
            if size == 2
            else keras.ops.image.resize(maps, (8, 8), data_format="channels_last")
        )
        np.testing.assert_allclose(projector(maps), expected, atol=1e-6)


def test_the_ensemble_is_a_mean():
    rows = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    projector = projectors.ProjectorEnsemble(6, projectors=2)
    output = projector(rows)
    each = [np.maximum(rows @ p.kernel + p.bias, 0) for p in projector.projections]
    np.testing.assert_allclose(output, sum(each) / 2, atol=1e-6)


@pytest.mark.parametrize("variance", [0.1, 5.0, 2000.0])
def test_the_variance_starts_where_it_is_told(variance):
    projector = projectors.Variational(6, initial_variance=variance)
    mean, log_scale = projector(np.ones((5, 4), "float32"))
    assert mean.shape == (5, 6)
    np.testing.assert_allclose(keras.ops.softplus(log_scale) + 1e-5, variance, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_mean_and_scale_train():
    def net(units):
        inputs = keras.Input((4,))
        hidden = layers.Dense(units, name="hidden")(inputs)
        return keras.Model(inputs, layers.Dense(3)(hidden))

    projector = projectors.Variational(hidden=3)
    term = Term(VariationalLoss(), teacher="hidden", student="hidden", projector=projector)
    distiller = Distiller(student=net(4), teacher=net(6), terms=[term])
    assert {tuple(w.shape) for w in projector.trainable_variables} >= {(4, 3), (3, 3), (3, 6), (6,)}
    before = [np.asarray(w) for w in projector.trainable_variables]
    start = np.asarray(projector.log_scale)
    distiller.compile(keras.optimizers.SGD(0.1))
    distiller.fit(np.random.default_rng(0).normal(size=(8, 4)).astype("float32"), verbose=0)
    for a, b in zip(before, projector.trainable_variables):
        assert np.abs(a - np.asarray(b)).max() > 0
    assert np.abs(start - np.asarray(projector.log_scale)).min() > 1e-4


@pytest.mark.parametrize(
    "projector",
    [
        projectors.Linear(6, sizes=(2, 2)),
        projectors.ProjectorEnsemble(6, projectors=2),
        projectors.Variational(6, hidden=3, initial_variance=2.0),
    ],
    ids=lambda projector: type(projector).__name__,
)
def test_round_trip(projector):
    maps = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")
    expected = projector(maps)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(projector))
    assert copy.get_config() == projector.get_config()
    copy.set_weights(projector.get_weights())
    for a, b in zip(keras.tree.flatten(expected), keras.tree.flatten(copy(maps))):
        np.testing.assert_array_equal(a, b)


def test_units_come_from_the_teacher():
    term = Term(VariationalLoss(), projector=projectors.Variational())
    assert connected(term, (None, 4, 4, 6), (None, 8, 8, 3)).units == 6
    assert term.projector.sizes == (4, 4)
    copy = Term.from_config(term.get_config())
    assert copy.projector.units == 6


def test_layers_of_ones_own_serve():
    class Mine(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(6)

        def call(self, x):
            return self.dense(x)

    for projector in (Mine(), layers.Conv2D(6, 3, padding="same"), keras.Sequential([Mine()])):
        assert connected(Term(Hint(), projector=projector), (None, 4, 4, 6), (None, 4, 4, 3))
        assert projector.built


@pytest.mark.parametrize(
    "build",
    [
        lambda: projectors.Linear(0),
        lambda: projectors.ProjectorEnsemble(3, projectors=0),
        lambda: projectors.Variational(3, hidden=-1),
        lambda: projectors.Variational(3, initial_variance=0.0),
    ],
)
def test_numbers_out_of_range(build):
    with pytest.raises(ValueError, match="must be a"):
        build()


def test_units_must_be_known():
    with pytest.raises(ValueError, match="The units of Linear must be known"):
        projectors.Linear().build((None, 4))


def test_a_map_of_another_size_than_the_batch_shows():
    projector = projectors.Variational(6)
    mean, scale = projector(np.ones((2, 8, 8, 4), "float32"))
    for size in (4, 8, 12):
        resized, same_scale = projector.resized((mean, scale), (2, size, size, 6))
        assert tuple(resized.shape) == (2, size, size, 6)
        assert same_scale is scale
    assert projector.resized((mean, scale), (2, None, None, 6))[0] is mean
    vectors = np.ones((2, 6), "float32")
    assert projectors.Linear(6).resized(vectors, (2, 6)) is vectors
