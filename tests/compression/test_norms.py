"""A norm's factor and offset come into the layer before it, and the file gives the same numbers."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from keras_kd import compression

pytestmark = pytest.mark.usefixtures("rounding")

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
# The layers before norms, the input's shape, and the operators of the file.
PLACES = {
    "Dense": ([layers.Dense(16), layers.Dense(8, use_bias=False)], (12,), {"FULLY_CONNECTED": 3}),
    "Conv1D": ([layers.Conv1D(8, 3), layers.Conv1D(4, 2)], (12, 4), {"CONV_2D": 2}),
    "Conv2DTranspose": (
        [layers.Conv2DTranspose(8, 3, 2, "same"), layers.Conv2DTranspose(4, 2, use_bias=False)],
        (4, 4, 3),
        {"TRANSPOSE_CONV": 2},
    ),
    "DepthwiseConv2D": ([layers.DepthwiseConv2D(3)], (6, 6, 4), {"DEPTHWISE_CONV_2D": 1}),
    # On its own: a range lies between the two convolutions.
    "SeparableConv2D": (
        [layers.SeparableConv2D(4, 3)],
        (6, 6, 3),
        {"DEPTHWISE_CONV_2D": 2, "CONV_2D": 1},
    ),
}


def trained(place):
    before, shape, operators = PLACES[place]
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input(shape)
    for number, layer in enumerate(before):
        layer = type(layer).from_config(layer.get_config())
        x = layers.BatchNormalization(name=f"norm{number}")(layer(x))
        x = layers.ReLU()(x) if number == 0 else x
    model = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))
    gamma = model.get_layer("norm0").gamma
    gamma.assign(np.linspace(-1, 1, gamma.shape[0]))  # of either sign
    images = np.random.default_rng(0).normal(size=(96, *shape)).astype("float32")
    student = compression.quantize_aware(model)
    student.compile(keras.optimizers.Adam(0.01), CROSS_ENTROPY)
    student.fit(images, np.arange(96) % 5, batch_size=16, epochs=2, verbose=0)
    return student, images, operators


@pytest.mark.tensorflow
@pytest.mark.parametrize("place", PLACES)
def test_the_file_gives_the_same_numbers(in_process, tmp_path, place):
    student, images, operators = trained(place)
    report = keras_kd.export.tflite(student, tmp_path / "s.tflite", "int8", verify=images)
    assert report.float_operators == {}
    assert operators.items() <= report.operators.items()
    got = keras_kd.export.predict(tmp_path / "s.tflite", images)
    same = np.abs(got - student.predict(images, verbose=0)).max(axis=1) < 1e-4
    assert same.mean() > (0.9 if place == "SeparableConv2D" else 0.99)


def test_saved_and_finished():
    student, images, _ = trained("Dense")
    plain = compression.finish(student)
    kinds = [type(layer).__name__ for layer in plain.layers]
    assert kinds.count("BatchNormalization") == 2
    expected = student.predict(images, verbose=0)
    error = plain.predict(images, verbose=0) - expected
    assert np.sqrt(np.mean(error**2)) < 0.1 * np.std(expected)


def test_clustered_kernels_keep_their_few_values():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8), layers.BatchNormalization()])
    student = compression.quantize_aware(compression.cluster(model, 4))
    student.compile("sgd", "mse")
    student.fit(np.eye(8), np.eye(8), verbose=0)
    dense = compression.finish(student).get_layer(model.layers[0].name)
    assert len(np.unique(dense.kernel)) <= 4
