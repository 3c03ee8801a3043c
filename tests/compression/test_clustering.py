"""Clustered students: few values, trained; zeros of pruned kernels stay."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd import compression
from keras_kd.compression.clustering import Cluster, evenly, kmeans

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dense():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(16, "relu", name="hidden"), layers.Dense(3, name="logits")]
    )


def kernels(model):
    return [ops.convert_to_numpy(w) for w in model.weights if w.name == "kernel"]


def test_kmeans_equals_lloyds_iteration():
    values = np.random.default_rng(0).normal(size=500)
    centroids = expected = evenly(values, 5)
    for _ in range(200):
        nearest = np.abs(values[:, None] - expected).argmin(1)
        expected = np.array([values[nearest == i].mean() for i in range(5)])
    np.testing.assert_allclose(kmeans(values, centroids), expected, atol=2e-2)
    np.testing.assert_array_equal(kmeans(np.ones(3), np.array([0.0, 1.0])), [0.0, 1.0])


def test_the_nearest_centroid_and_its_gradients(value_and_gradient):
    transform = Cluster(0, "kernel", 3)
    transform.build((2, 3))
    transform.centroids.assign([1.0, -1.0, 0.25])
    kernel = np.array([[0.7, 0.2, -3.0], [0.6, -0.3, -0.4]], "float32")
    upstream = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "float32")
    value, gradient = value_and_gradient(
        lambda k: ops.sum(transform(k, training=True) * upstream), kernel
    )
    snapped = np.array([[1.0, 0.25, -1.0], [0.25, 0.25, -1.0]])
    np.testing.assert_allclose(value, (snapped * upstream).sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient, upstream)
    np.testing.assert_array_equal(transform(kernel), snapped)


def test_centroids_are_trained_by_the_mean_of_their_members():
    layer = layers.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((2,)), layer])
    layer.kernel.assign([[1.0, 0.8], [-1.0, -0.6]])
    student = compression.cluster(model, 2, start="linear")
    transform = student.layers[0].transforms[0]
    np.testing.assert_allclose(transform.centroids, [-1.0, 1.0])
    student.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = np.eye(2, dtype="float32"), np.zeros((2, 2), "float32")
    student.train_on_batch(x, y)
    # The loss is the mean of the four squares, the gradient of each weight half its value.
    np.testing.assert_allclose(transform.centroids, [-0.95, 0.95], rtol=1e-6)
    np.testing.assert_allclose(
        student.layers[0].layer.kernel, [[0.95, 0.75], [-0.95, -0.55]], rtol=1e-6
    )


def test_zeros_that_a_mask_took_are_no_members():
    student = keras.Sequential([keras.Input((10,)), layers.Dense(1, use_bias=False)])
    student.layers[0].kernel.assign([[0.0]] * 8 + [[0.1], [1.0]])
    student = compression.cluster(compression.prune(student, 0.8), 3)
    transform = student.layers[0].transforms[-1]
    transform.centroids.assign([0.1, 1.0])
    student.layers[0].transforms[0].mask.assign([[0]] * 8 + [[1], [1]])
    student.layers[0].transforms[0].called.assign(1)
    student.compile(keras.optimizers.SGD(0.1), lambda y, prediction: prediction)
    student.train_on_batch(np.ones((1, 10), "float32"), np.zeros((1, 1), "float32"))
    np.testing.assert_allclose(transform.centroids, [0.0, 0.9], atol=1e-6)


@pytest.mark.parametrize("has_search", [True, False])
def test_two_values_of_a_pruned_kernel(data, monkeypatch, has_search):
    def search(bounds, values):
        raise TypeError

    if not has_search:
        monkeypatch.setattr(ops, "searchsorted", search)
    x, y = data
    student = compression.prune(dense(), 0.5)
    student(x, training=True)
    student = compression.cluster(student, clusters=2)
    student.compile("sgd", CROSS_ENTROPY)
    student.fit(x, y, verbose=0)
    for kernel in kernels(compression.finish(student)):
        assert len(np.unique(kernel)) == 2


@pytest.mark.parametrize("start", ["kmeans", "linear"])
def test_few_values(data, start, tmp_path):
    x, y = data
    student = compression.cluster(dense(), clusters=4, start=start, skip=["logits"])
    student.compile("adam", CROSS_ENTROPY)
    student.fit(x, y, epochs=3, verbose=0)
    plain = compression.finish(student)
    hidden, logits = kernels(plain)
    assert len(np.unique(hidden)) <= 4
    assert len(np.unique(logits)) == logits.size
    np.testing.assert_allclose(plain(x), student(x), atol=1e-6)
    student.save(tmp_path / "student.keras")
    loaded = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(loaded(x), student(x), atol=1e-6)


def test_pruned_kernels_stay_so(data):
    x, y = data
    student = compression.prune(dense(), 0.5, allocation="uniform")
    student.compile("adam", CROSS_ENTROPY)
    student.fit(x, y, verbose=0)
    student = compression.cluster(student, clusters=4)
    student.compile("adam", CROSS_ENTROPY)
    student.fit(x, y, epochs=3, verbose=0)
    for kernel in kernels(compression.finish(student)):
        assert np.mean(kernel == 0) >= 0.5
        assert len(np.unique(kernel)) <= 4


def test_zeros_that_nothing_keeps_are_told_of():
    student = keras.Sequential([keras.Input((4,)), layers.Dense(8, name="first"), layers.Dense(3)])
    kernel = student.get_layer("first").kernel
    kernel.assign(np.where(np.arange(32).reshape(4, 8) % 2, 0.0, ops.convert_to_numpy(kernel)))
    with pytest.warns(UserWarning, match=r"does not keep the zeros of \['first/kernel'\]"):
        compression.cluster(student, clusters=4)


def test_constraints_of_single_weights_hold_for_centroids(data, tmp_path):
    x, y = data
    hidden = layers.Dense(8, kernel_constraint="non_neg", kernel_initializer="random_uniform")
    logits = layers.Dense(3, kernel_constraint="unit_norm")
    model = keras.Sequential([keras.Input((4,)), hidden, logits])
    hidden.kernel.assign(np.abs(hidden.kernel))
    student = compression.cluster(model, clusters=4)
    student.save(tmp_path / "student.keras")
    for each in (student, keras.models.load_model(tmp_path / "student.keras")):
        each.compile(keras.optimizers.SGD(1.0), CROSS_ENTROPY)
        each.fit(x, y, epochs=5, verbose=0)
        assert (kernels(compression.finish(each))[0] >= 0).all()


@pytest.mark.tensorflow
def test_two_replicas_equal_one(data, two_replicas):
    x, y = data
    first = compression.cluster(dense(), clusters=4)
    with two_replicas.scope():
        second = compression.cluster(dense(), clusters=4)
        second.set_weights(first.get_weights())
    before = first.get_weights()
    for model, scope in ((first, contextlib.nullcontext()), (second, two_replicas.scope())):
        with scope:
            model.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for a, b, start in zip(first.get_weights(), second.get_weights(), before):
        assert np.abs(a - start).max() > 0
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(data, policy):
    x, y = data
    hidden = layers.Dense(16, "relu", dtype=policy, name="hidden")
    model = keras.Sequential([keras.Input((4,)), hidden, layers.Dense(3, dtype="float32")])
    student = compression.cluster(model, clusters=4)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.05), initial_scale=8.0)
    student.compile(optimizer, CROSS_ENTROPY)
    losses = student.fit(x, y, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert student.layers[0](x).dtype == hidden(x).dtype
    plain = compression.finish(student)
    assert all(len(np.unique(kernel)) <= 4 for kernel in kernels(plain))
    np.testing.assert_allclose(plain(x), student(x), atol=1e-6)


def test_compiled_by_xla(data):
    x, y = data
    student = compression.cluster(compression.prune(dense(), sparsity=0.5), clusters=4)
    student.compile("adam", CROSS_ENTROPY, jit_compile=keras.backend.backend() != "torch")
    student.fit(x, y, verbose=0)
    assert len(np.unique(kernels(compression.finish(student))[0])) <= 4


@pytest.mark.parametrize(
    ("match", "how"),
    [
        ("clusters must be an integer of at least 2", {"clusters": 1}),
        ("clusters must be an integer of at least 2", {"clusters": 2.5}),
        ("start must be 'kmeans' or 'linear'", {"start": "random"}),
    ],
)
def test_bad_arguments(match, how):
    with pytest.raises((ValueError, TypeError), match=match):
        compression.cluster(dense(), **how)


def test_the_order_of_the_methods():
    clustered = compression.cluster(dense())
    for method in (
        lambda: compression.cluster(clustered),
        lambda: compression.prune(clustered, 0.5),
    ):
        with pytest.raises(ValueError, match="must come once, in the order"):
            method()
