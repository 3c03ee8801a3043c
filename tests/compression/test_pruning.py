"""Pruned students: any layer, the schedule, properties that hold by construction."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from keras_kd import compression
from keras_kd.losses import Hint, SoftTargets

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
EVEN = {"sparsity": 0.5, "allocation": "uniform"}


def dense():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu", name="hidden"), layers.Dense(3, name="logits")]
    )


@pytest.fixture(scope="module")
def graph():
    """A student of shared, nested and composite layers."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2), name="image")
    backbone = keras.Sequential(
        [
            keras.Input((4, 4, 4)),
            layers.SeparableConv2D(4, 3, padding="same", name="separable"),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
        ],
        name="backbone",
    )
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="conv")(inputs))
    shared = layers.Dense(4, name="shared")
    x = shared(backbone(x)) + shared(x)
    x = layers.Reshape((16, 4))(x)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, {"digit": layers.Dense(3, activation="softmax", name="digit")(x)})


def kernels(model):
    names = ("kernel", "depthwise_kernel", "pointwise_kernel")
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights if w.name in names}


def zeros(model):
    return {path: np.mean(kernel == 0) for path, kernel in kernels(model).items()}


def test_any_layer_in_any_place(graph):
    before = graph.get_weights()
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
    student = compression.prune(graph, sparsity=0.5)
    assert keras_kd.taps.paths(student) == keras_kd.taps.paths(graph)
    assert student.output_names == graph.output_names
    np.testing.assert_allclose(student(x)["digit"], graph(x)["digit"], atol=1e-6)
    student.compile("adam", {"digit": "sparse_categorical_crossentropy"})
    student.fit(x, {"digit": np.arange(8) % 3}, verbose=0)
    plain = compression.finish(student)
    assert [type(a) for a in plain.layers] == [type(a) for a in graph.layers]
    found = kernels(plain)
    assert len(found) == 10
    zero = sum(np.sum(kernel == 0) for kernel in found.values())
    assert abs(zero / sum(kernel.size for kernel in found.values()) - 0.5) < 0.01
    np.testing.assert_allclose(plain(x)["digit"], student(x)["digit"], atol=1e-6)
    for old, now in zip(before, graph.get_weights()):
        np.testing.assert_array_equal(old, now)


def test_distilled_with_features(graph):
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
    paths = ["attention:query", "backbone/separable", "shared:1", "norm"]
    distiller = keras_kd.Distiller(
        student=compression.prune(graph, sparsity=0.5),
        teacher=graph,
        terms=[SoftTargets(), *(keras_kd.Term(Hint(), teacher=p, student=p) for p in paths)],
    )
    distiller.compile("adam", loss=None)
    logs = distiller.fit(x, verbose=0).history
    assert all(np.isfinite(logs[name]).all() and logs[name][0] > 0 for name in logs), logs
    assert np.mean([*zeros(compression.finish(distiller.student)).values()]) > 0.3


def test_the_schedule_is_that_of_zhu_and_gupta(data):
    x, y = data
    student = compression.prune(
        dense(), 0.75, steps=8, begin=2, initial_sparsity=0.25, skip=["logits"]
    )
    student.compile("sgd", CROSS_ENTROPY)
    for step in range(1, 13):
        student.train_on_batch(x, y)
        mask = keras.ops.convert_to_numpy(student.layers[0].transforms[0].mask)
        t = np.clip(step - 2, 0, 8)
        share = 0.75 + (0.25 - 0.75) * (1 - t / 8) ** 3 if t else 0
        assert (mask == 0).sum() == round(share * 32), step
    assert (kernels(compression.finish(student))["logits/kernel"] != 0).all()


def test_the_mask_stays_after_the_schedule_and_in_evaluation(data):
    x, y = data
    student = compression.prune(dense(), sparsity=0.5, steps=2)
    student.compile("sgd", CROSS_ENTROPY)
    student.evaluate(x, y, verbose=0)
    student.predict(x, verbose=0)
    prune = student.layers[0].transforms[0]
    assert int(prune.called) == 0
    student.fit(x, y, batch_size=12, verbose=0)
    first = keras.ops.convert_to_numpy(prune.mask)
    student.fit(x, y, batch_size=4, epochs=3, verbose=0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(prune.mask), first)
    assert int(prune.called) == 20


def test_a_shared_layer_counts_steps_not_calls(data):
    x, _ = data
    inputs, shared = keras.Input((4,)), layers.Dense(4, name="shared")
    student = compression.prune(keras.Model(inputs, shared(shared(inputs))), 0.5, steps=4)
    student.compile("sgd", "mse")
    for _ in range(2):
        student.train_on_batch(x, x)
    with pytest.raises(ValueError, match="Train to the end of the schedule"):
        compression.finish(student)
    for _ in range(2):
        student.train_on_batch(x, x)
    assert zeros(compression.finish(student)) == {"shared/kernel": 0.5}


def test_a_step_is_a_call_where_the_optimizer_waits_for_several(data):
    x, y = data
    student = compression.prune(dense(), 0.5, steps=2 * 4)
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=4)
    student.compile(optimizer, CROSS_ENTROPY)
    for step in range(1, 9):
        student.train_on_batch(x, y)
        assert student.layers[0].transforms[0].place() == (step, 8)
    compression.finish(student)


@pytest.mark.parametrize("how", [{"block": (2, 4), **EVEN}, {"pattern": "2:4"}])
def test_blocks_and_patterns(data, how):
    x, y = data
    student = compression.prune(dense(), **how)
    student.compile("adam", CROSS_ENTROPY)
    student.fit(x, y, verbose=0)
    hidden = kernels(compression.finish(student))["hidden/kernel"]
    assert np.mean(hidden == 0) == 0.5
    if "pattern" in how:
        assert ((hidden != 0).sum(axis=0) == 2).all()
    else:
        blocks = (hidden != 0).reshape(2, 2, 2, 4).sum(axis=(1, 3))
        assert set(blocks.flat) == {0, 8}


@pytest.mark.parametrize("how", [{"pattern": "2:4"}, {"block": (4, 1), **EVEN}])
def test_kernels_with_the_inputs_last(how):
    inputs = keras.Input((8, 8, 8))
    x = layers.Conv2DTranspose(4, 3, name="transposed")(inputs)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    student = compression.prune(keras.Model(inputs, layers.Dense(4)(x)), **how)
    student(np.ones((1, 8, 8, 8), "float32"), training=True)
    plain = compression.finish(student)
    kept = keras.ops.convert_to_numpy(plain.get_layer("transposed").kernel) != 0
    groups = kept.reshape(3, 3, 4, 2, 4).sum(-1)
    assert set(groups.flat) == ({2} if "pattern" in how else {0, 4})
    # No sum runs over the channels of a depthwise convolution.
    depthwise = keras.ops.convert_to_numpy(plain.get_layer("depthwise").kernel)
    assert (depthwise != 0).all() == ("pattern" in how)


@pytest.mark.parametrize("how", [{}, {"block": (1, 2)}, {"skip": ["logits"]}])
def test_kernels_that_matter_more_lose_less(data, how):
    x, y = data
    model = dense()
    model.get_layer("hidden").kernel.assign(np.geomspace(1e-3, 1, 32).reshape(4, 8))
    model.get_layer("logits").kernel.assign(np.ones((8, 3)))
    student = compression.prune(model, 0.5, initial_sparsity=0.2, allocation="lamp", **how)
    first = [layer.transforms[0].initial_sparsity for layer in student.layers[:1]]
    assert first == pytest.approx([0.4 * student.layers[0].transforms[0].sparsity])
    student.compile("sgd", CROSS_ENTROPY)
    student.fit(x, y, verbose=0)
    hidden, logits = zeros(compression.finish(student)).values()
    assert hidden >= 0.5
    assert logits < 0.25


@pytest.mark.filterwarnings("ignore:Kernels that are a single block")
@pytest.mark.parametrize("how", [{}, {"block": (4, 4)}, {"allocation": "lamp"}])
def test_no_kernel_is_lost(how):
    inputs = keras.Input((2,))
    x = layers.Dense(3)(layers.Dense(12)(layers.Dense(1)(inputs)))
    student = compression.prune(keras.Model(inputs, x), 0.9, **how)
    student(np.ones((1, 2), "float32"), training=True)
    found = kernels(compression.finish(student)).values()
    assert all(kernel.any() for kernel in found)
    assert any(np.mean(kernel == 0) > 0.5 for kernel in found)


@pytest.mark.parametrize("size", [110, 190, 230, 999])
@pytest.mark.parametrize("sparsity", [0.55, 0.05, 0.35])
def test_the_mask_and_its_check_count_alike(size, sparsity):
    model = keras.Sequential([keras.Input((size,)), layers.Dense(1)])
    student = compression.prune(model, sparsity, steps=3)
    for _ in range(3):
        student(np.ones((1, size), "float32"), training=True)
    (kernel,) = kernels(compression.finish(student)).values()
    assert (kernel == 0).sum() == round(sparsity * size)


def test_lamp_counts_the_zeros_that_are_there(data):
    x, y = data
    model = dense()
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.kernel.assign(np.where(rng.uniform(size=layer.kernel.shape) < 0.75, 0, layer.kernel))
    student = compression.prune(model, 0.7, allocation="lamp")
    student.compile("adam", CROSS_ENTROPY)
    student.fit(x, y, epochs=3, verbose=0)
    found = kernels(compression.finish(student)).values()
    assert sum((kernel == 0).sum() for kernel in found) >= round(0.7 * 56)


def test_zeros_have_no_sign(data, value_and_gradient):
    student = compression.prune(dense(), **EVEN)
    student(data[0], training=True)
    for kernel in kernels(compression.finish(student)).values():
        assert not np.signbit(kernel[kernel == 0]).any()
    prune = student.layers[0].transforms[0]
    gradient = value_and_gradient(
        lambda kernel: keras.ops.sum(3 * prune(kernel)), -np.ones((4, 8), "float32")
    )[1]
    np.testing.assert_array_equal(gradient, 3 * keras.ops.convert_to_numpy(prune.mask))


def test_mixed_precision(data):
    x, y = data
    hidden = layers.Dense(8, dtype="mixed_float16", name="hidden")
    model = keras.Sequential([keras.Input((4,)), hidden, layers.Dense(3, dtype="float32")])
    student = compression.prune(model, **EVEN)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0)
    student.compile(optimizer, CROSS_ENTROPY)
    student.fit(x, y, verbose=0)
    assert student.layers[0](x).dtype == hidden(x).dtype
    assert set(zeros(compression.finish(student)).values()) == {0.5}


@pytest.mark.tensorflow
@pytest.mark.parametrize("how", ["jit", "replicas"])
def test_compilation_and_replicas(data, two_replicas, how):
    x, y = data
    first = compression.prune(dense(), **EVEN, steps=3)
    with two_replicas.scope() if how == "replicas" else contextlib.nullcontext():
        second = compression.prune(dense(), **EVEN, steps=3)
        second.set_weights(first.get_weights())
        second.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY, jit_compile=how == "jit")
    first.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY, run_eagerly=True)
    for model in (first, second):
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(first.get_weights(), second.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5)


BAD = {
    "sparsity must be a finite number at least 0 and below 1": {"sparsity": 1.0},
    "sparsity must be a finite number .* Received: -0.1": {"sparsity": -0.1},
    "sparsity must be a finite number .* Received: None": {},
    "sparsity must be a finite number .* Received: nan": {"sparsity": float("nan")},
    "steps must be an integer": {"sparsity": 0.5, "steps": -1},
    "begin must be an integer": {"sparsity": 0.5, "begin": 1.5},
    "every must be an integer": {"sparsity": 0.5, "every": 0},
    "initial_sparsity must be at most": {"sparsity": 0.5, "initial_sparsity": 0.6},
    r"block must be \(rows, columns\)": {"sparsity": 0.5, "block": 4},
    "block must be an integer": {"sparsity": 0.5, "block": (0, 4)},
    "allocation must be ": {"sparsity": 0.5, "allocation": "layers"},
    "pattern must say how many": {"pattern": "4:2"},
    "sparsity must be left out beside pattern": {"pattern": "2:4", "sparsity": 0.8},
    "initial_sparsity must be 0 beside pattern": {"pattern": "2:4", "initial_sparsity": 0.1},
    "block must be None beside pattern": {"pattern": "2:4", "block": (1, 4)},
    "skip must name layers of the student": {"sparsity": 0.5, "skip": ["conv"]},
    "skip must be a list of layer names": {"sparsity": 0.5, "skip": "hidden"},
    "skip must be a list .* Received: None": {"sparsity": 0.5, "skip": None},
    "student must have a kernel to compress": {"sparsity": 0.5, "skip": ["hidden", "logits"]},
}


@pytest.mark.parametrize("match", BAD)
def test_bad_arguments(match):
    with pytest.raises((ValueError, TypeError), match=match):
        compression.prune(dense(), **BAD[match])


def test_a_block_as_large_as_a_kernel_is_told():
    with pytest.warns(UserWarning, match=r"a single block of \(8, 4\) .*\['logits'\]"):
        compression.prune(dense(), sparsity=0.5, block=(8, 4))
