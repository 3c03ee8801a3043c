"""Layers that compute in whole numbers give just what the file gives."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd
from keras_kd import compression
from keras_kd.compression.finishing import baked
from keras_kd.compression.norms import FoldedNorm

pytestmark = pytest.mark.usefixtures("rounding")


@pytest.fixture(scope="module")
def student(rounding):
    """A trained student of residual sums that share a range, norms, and a mean."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((12, 12, 3))
    for filters, strides in ((8, 1), (16, 2)):
        x = layers.Conv2D(filters, 3, strides, "same", name=f"conv{strides}")(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"norm{strides}")(x))
        y = layers.DepthwiseConv2D(3, padding="same")(x)
        y = layers.BatchNormalization(scale=False, center=False)(y)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(3)(layers.MaxPooling2D(1)(x)))
    model = keras.Model(inputs, layers.Dense(5)(layers.Dense(16, "relu", name="hidden")(x)))
    student = compression.quantize_aware(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.Adam(0.01), loss)
    images = np.random.default_rng(0).normal(size=(256, 12, 12, 3)).astype("float32")
    student.fit(images, np.arange(256) % 5, epochs=2, verbose=0)
    return student, images


@pytest.mark.tensorflow
def test_the_file_gives_the_same_numbers(in_process, student, tmp_path):
    model, images = student
    report = keras_kd.export.tflite(model, tmp_path / "s.tflite", "int8", verify=images)
    assert report.float_operators == {}
    # Nothing else than halves, and those of 16 bits in sums of two ranges.
    assert report.relative_error < 1e-3
    assert report.argmax_agreement == 1.0
    got = keras_kd.export.predict(tmp_path / "s.tflite", images)
    same = np.abs(got - model.predict(images, verbose=0)).max(axis=1) < 1e-4
    assert same.mean() > 0.99


def test_what_the_converter_reads_gives_the_same_but_for_halves(student):
    model, images = student
    expected = ops.convert_to_numpy(model(images))
    error = ops.convert_to_numpy(baked(model)(images)) - expected
    assert np.sqrt(np.mean(error**2)) < 0.05 * np.std(expected)
    kinds = [type(layer) for layer in baked(model).layers]
    assert FoldedNorm not in kinds
    assert layers.BatchNormalization in kinds


def test_biases_are_whole_numbers_of_steps(student):
    model, _ = student
    dense = model.get_layer("hidden")
    step, bias = dense.step(), dense.rounded_bias()
    numbers = ops.convert_to_numpy(bias) / ops.convert_to_numpy(step)
    np.testing.assert_allclose(numbers, np.round(numbers), atol=1e-2)
    np.testing.assert_allclose(bias, dense.bias, atol=float(step))
    # A norm rounds its offset and the bias before it as one.
    assert model.get_layer("conv1").rounded_bias() is None


def test_saved_students_compute_the_same(student, tmp_path):
    model, images = student
    model.save(tmp_path / "student.keras")
    loaded = keras.models.load_model(tmp_path / "student.keras")
    expected = ops.convert_to_numpy(loaded(images))
    np.testing.assert_array_equal(expected, model(images))


@pytest.mark.parametrize("loaded", [False, True])
def test_calls_in_other_graphs_change_no_answer(student, tmp_path, loaded):
    model, images = student
    expected = ops.convert_to_numpy(model(images))
    if loaded:
        model.save(tmp_path / "student.keras")
        model = keras.models.load_model(tmp_path / "student.keras")
    for layer in model.layers[1:]:
        if not isinstance(layer, layers.Add | layers.ReLU):
            layer(keras.Input(layer.input.shape[1:]))
    np.testing.assert_array_equal(model(images), expected)
