"""Quantisation-aware students: the trained graph is what the integer file computes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd
from keras_kd import compression
from keras_kd.compression.ranges import check_seen, ranges_of
from keras_kd.export.tflite_file.operators import parsed, uses
from keras_kd.losses import Hint, SoftTargets

pytestmark = pytest.mark.usefixtures("rounding")

KERNELS = ("CONV_2D", "FULLY_CONNECTED")
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def grid(kernel, bits, axis):
    """What is left of a kernel, in float64."""
    axes = tuple(a for a in range(kernel.ndim) if a != axis)
    most = np.abs(kernel.astype("float64")).max(axis=axes, keepdims=True)
    scale = most / (2 ** (bits - 1) - 1)
    return np.round(kernel / scale) * scale


@pytest.mark.tensorflow
# LiteRT's own reference kernels are wrong on 4 bits.
@pytest.mark.filterwarnings("ignore:The file agrees with Keras on LiteRT's default kernels")
@pytest.mark.parametrize("bits", [8, 4])
def test_the_file_equals_the_trained_graph(in_process, graph, images, tmp_path, bits):
    student = compression.quantize_aware(graph, bits)
    student.compile("adam", CROSS_ENTROPY)
    student.fit(images, np.arange(64) % 3, batch_size=16, verbose=0)
    report = keras_kd.export.tflite(student, tmp_path / "s.tflite", "int8")
    assert report.calibration_samples == 0
    assert report.inputs[0].scale > 0.01
    assert report.float_operators == {}
    assert report.relative_error < 0.05
    # A norm of its own would be a multiplication and an addition.
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} <= set(report.operators)
    assert report.operators["CONV_2D"] == 2
    assert report.operators["DEPTHWISE_CONV_2D"] == 2


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:The file agrees with Keras on LiteRT's default kernels")
@pytest.mark.parametrize(("ends", "expected"), [(None, "4444"), (8, "8448")])
def test_the_bits_of_the_kernels_in_the_file(in_process, tmp_path, ends, expected):
    from ai_edge_litert import schema_py_generated as schema

    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(3),
        ]
    )
    images = np.random.default_rng(0).normal(size=(16, 8, 8, 2)).astype("float32")
    student = compression.quantize_aware(model, bits=4, first_and_last=ends)
    student.compile("adam", CROSS_ENTROPY)
    student.fit(images, np.arange(16) % 3, verbose=0)
    path = tmp_path / "s.tflite"
    keras_kd.export.tflite(student, path, "int8", verify=images)
    (graph,), names = parsed(path.read_bytes())
    kernels = [use.Inputs(1) for use in uses(graph) if names[use.OpcodeIndex()] in KERNELS]
    bits = {schema.TensorType.INT4: "4", schema.TensorType.INT8: "8"}
    assert "".join(bits[graph.Tensors(kernel).Type()] for kernel in kernels) == expected


def test_distilled_with_features(graph, images):
    paths = ["norm", "backbone/separable", "dense"]
    distiller = keras_kd.Distiller(
        student=compression.quantize_aware(graph),
        teacher=graph,
        terms=[SoftTargets(), *(keras_kd.Term(Hint(), teacher=p, student=p) for p in paths)],
    )
    distiller.compile("adam", CROSS_ENTROPY)
    logs = distiller.fit(images, np.arange(64) % 3, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values()), logs


def test_all_together(data, tmp_path):
    x, y = data
    model = keras.Sequential([keras.Input((4,)), layers.Dense(16, "relu"), layers.Dense(3)])
    student = compression.cluster(compression.prune(model, 0.5, allocation="uniform"), clusters=4)
    student = compression.quantize_aware(student)
    student.compile("adam", CROSS_ENTROPY)
    student.fit(x, y, epochs=2, verbose=0)
    student.save(tmp_path / "student.keras")
    student = keras.models.load_model(tmp_path / "student.keras")
    plain = compression.finish(student)
    for layer in plain.layers[-2:]:
        kernel = ops.convert_to_numpy(layer.kernel)
        assert np.mean(kernel == 0) >= 0.5
        assert len(np.unique(kernel)) <= 4
        np.testing.assert_allclose(kernel, grid(kernel, 8, None), atol=1e-6)


@pytest.mark.tensorflow
def test_compiled_by_xla(data):
    x, y = data
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(3)])
    student = compression.quantize_aware(model)
    student.compile("adam", CROSS_ENTROPY, jit_compile=True)
    student.fit(x, y, verbose=0)
    assert all(float(layer.seen) == 1 for layer in ranges_of(student))


@pytest.mark.tensorflow
def test_replicas_share_their_ranges(data, two_replicas):
    x, y = data
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(3)])
    with two_replicas.scope():
        student = compression.quantize_aware(model)
        student.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
    student.fit(x[:16], y[:16], batch_size=16, shuffle=False, verbose=0)
    first = ranges_of(student)[0]
    halves = [(min(half.min(), 0), max(half.max(), 0)) for half in (x[:8], x[8:16])]
    # Low and high are the means over the replicas, as one batch was seen.
    np.testing.assert_allclose(
        first.get_weights(), [*np.mean(halves, axis=0), 1.0], rtol=1e-5, atol=1e-6
    )
    assert check_seen(student)


def called_twice():
    tower = keras.Sequential([keras.Input((8, 8, 2)), layers.Conv2D(3, 3), layers.ReLU()])
    inputs = keras.Input((8, 8, 2))
    both = layers.Concatenate()([tower(inputs), tower(3 * inputs)])
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(both)))


def of(layer):
    return keras.Sequential(
        [keras.Input((8, 8, 2)), layer, layers.ReLU(), layers.Flatten(), layers.Dense(3)]
    )


@pytest.mark.parametrize(
    "make",
    [
        called_twice,
        lambda: of(layers.SeparableConv2D(4, 3, activation="relu")),
        lambda: of(layers.DepthwiseConv2D(3)),
        lambda: of(layers.DepthwiseConv2D(3, depth_multiplier=2)),
    ],
    ids=["called twice", "separable", "depthwise", "multiplied"],
)
def test_trained_students_stay_close(make, images):
    model = make()
    student = compression.quantize_aware(model)
    student.compile(keras.optimizers.SGD(1e-6), CROSS_ENTROPY)
    student.fit(images, np.arange(64) % 3, batch_size=64, verbose=0)
    expected = ops.convert_to_numpy(model(images))
    for each in (student, compression.finish(student)):
        error = ops.convert_to_numpy(each(images)) - expected
        assert np.sqrt(np.mean(error**2)) < 0.03 * np.std(expected)
    student.compile(keras.optimizers.Adam(0.01), CROSS_ENTROPY)
    losses = student.fit(images, np.arange(64) % 3, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.tensorflow  # tf.data holds the answers
def test_goes_on_from_stored_answers_after_a_kill(data, tmp_path):
    x, y = data
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(3)])
    soft = keras_kd.SoftLabels.write(None, teacher=model, data=x)
    start = compression.quantize_aware(model)
    results = []
    for folder, parts in (("whole", [3]), ("killed", [1, 3])):
        for epochs in parts:
            student = compression.quantize_aware(model)
            student.set_weights(start.get_weights())
            distiller = keras_kd.Distiller(student=student, teacher=soft)
            distiller.compile(keras.optimizers.Adam(0.01), CROSS_ENTROPY)
            backup = keras.callbacks.BackupAndRestore(tmp_path / folder, delete_checkpoint=False)
            train = soft.dataset(x, y, batch_size=8, shuffle=False)
            distiller.fit(train, epochs=epochs, callbacks=[backup], verbose=0)
        results.append(distiller.student.get_weights())
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_bad_input(monkeypatch):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    half = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_float16")])
    with pytest.raises(ValueError, match="bits must be 4 or 8"):
        compression.quantize_aware(model, bits=2)
    with pytest.raises(TypeError, match=r"bits must be 4 or 8.*'8'.*Pass e.g. bits=8"):
        compression.quantize_aware(model, bits="8")
    with pytest.raises(ValueError, match="student must compute in float32"):
        compression.quantize_aware(half)
    with pytest.raises(ValueError, match="must come once, in the order"):
        compression.prune(compression.quantize_aware(model), 0.5)
    monkeypatch.delattr(keras.quantizers, "fake_quant_with_min_max_vars")
    with pytest.raises(RuntimeError, match=r"Keras must be 3.9 or newer"):
        compression.quantize_aware(model)
