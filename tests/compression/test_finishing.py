"""What a compressed student becomes in the end."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd
from keras_kd import compression
from keras_kd.compression.finishing import baked
from keras_kd.compression.ranges import ranges_of

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_names_paths_and_finish(graph, trained, images):
    assert trained.output_names == graph.output_names
    assert set(keras_kd.taps.paths(graph)) <= set(keras_kd.taps.paths(trained))
    shared = [layer.calls for layer in ranges_of(trained) if layer.calls > 1]
    assert shared, "sums and concatenations share ranges"
    plain = compression.finish(trained)
    for again, before in (plain, graph), *((m.get_layer("backbone") for m in (plain, graph)),):
        assert type(again) is type(before)
        assert [(x.name, type(x)) for x in again.layers] == [
            (x.name, type(x)) for x in before.layers
        ]
    assert plain.count_params() == graph.count_params()
    error = ops.convert_to_numpy(plain(images) - trained(images))
    assert np.sqrt(np.mean(error**2)) < 0.05 * np.std(ops.convert_to_numpy(plain(images)))


@pytest.mark.usefixtures("rounding")
def test_zeros_have_no_sign():
    dense, norm = layers.Dense(2, name="dense"), layers.BatchNormalization()
    model = keras.Sequential([keras.Input((2,)), dense, norm, layers.Dense(1, name="last")])
    dense.kernel.assign([[1.0, 1e-6], [1e-6, 1.0]])
    norm.gamma.assign([-1.0, -1.0])  # turns the signs before the rounding, and back after it
    student = compression.quantize_aware(model)
    student(np.ones((1, 2), "float32"), training=True)
    kernel = ops.convert_to_numpy(compression.finish(student).get_layer("dense").kernel)
    assert (kernel == 0).sum() == 2
    assert not np.signbit(kernel).any()


def test_what_hides_its_graph_is_not_baked():
    class Around(keras.Model):
        def __init__(self, student):
            super().__init__()
            self.student = student

        def call(self, x):
            return self.student(x)

    student = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    around = Around(compression.prune(student, 0.5))
    around(np.ones((1, 4), "float32"), training=True)
    with pytest.raises(ValueError, match="student must show its graph"):
        baked(around)


@pytest.mark.tensorflow
@pytest.mark.usefixtures("rounding")
def test_all_together_in_a_file(in_process, graph, tmp_path):
    images = np.random.default_rng(0).normal(size=(64, 8, 8, 2)).astype("float32")
    student = compression.cluster(compression.prune(graph, sparsity=0.5), clusters=8)
    student = compression.quantize_aware(student)
    student.compile("adam", CROSS_ENTROPY)
    student.fit(images, np.arange(64) % 3, batch_size=16, verbose=0)
    report = keras_kd.export.tflite(student, tmp_path / "s.tflite", "int8", verify=images)
    assert report.float_operators == {}
    assert report.relative_error < 0.05


@pytest.mark.usefixtures("rounding")
def test_a_rescaling_of_its_own_comes_back():
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.Rescaling(0.5), layers.Conv2D(3, 1)])
    student = compression.quantize_aware(model)
    x = np.random.default_rng(0).uniform(-1, 1, (8, 4, 4, 2)).astype("float32")
    student(x, training=True)
    plain = compression.finish(student)
    assert [type(layer) for layer in plain.layers] == [layers.Rescaling, layers.Conv2D]
    np.testing.assert_allclose(plain(x), student(x), atol=0.05)


@pytest.mark.parametrize("methods", [["quantize_aware"], ["prune", "quantize_aware"], ["cluster"]])
def test_sequential_students_stay_sequential(rounding, methods, images, tmp_path):
    tower = keras.Sequential([keras.Input((6, 6, 4)), layers.ReLU(), layers.AveragePooling2D(2)])
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2), name="image"),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            tower,
            layers.Flatten(),
            layers.Dense(3, activation="tanh", name="answer"),
        ],
        name="student",
    )
    student = model
    for method in methods:
        how = {"sparsity": 0.5} if method == "prune" else {}
        student = getattr(compression, method)(student, **how)
    student(images, training=True)
    student.save(tmp_path / "student.keras")
    for each in (student, keras.saving.load_model(tmp_path / "student.keras")):
        plain = compression.finish(each)
        assert type(plain) is type(plain.get_layer(tower.name)) is keras.Sequential
        assert (plain.name, plain.inputs[0].name) == ("student", "image")
        assert [x.name for x in plain.layers] == [x.name for x in model.layers]
        assert [x.shape for x in plain.weights] == [x.shape for x in model.weights]
        inner = keras.Model(plain.inputs[0], plain.layers[-2].output)
        np.testing.assert_allclose(plain.layers[-1](inner(images)), plain(images), atol=1e-6)
        error = ops.convert_to_numpy(plain(images) - student(images))
        assert np.sqrt(np.mean(error**2)) < 0.05


@pytest.mark.tensorflow
def test_a_file_of_16_bits_is_refused_before_any_work(trained, images, tmp_path):
    with pytest.raises(ValueError, match="must be exported in the 8 bits"):
        keras_kd.export.tflite(trained, tmp_path / "s.tflite", "int16x8", calibration=images)
