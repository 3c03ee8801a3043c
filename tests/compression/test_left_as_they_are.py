"""What a layer does beside its product stays: regularisers, own functions, other dtypes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd import compression
from keras_kd.compression.grids import Quantize

pytestmark = pytest.mark.usefixtures("rounding")


def images(*shape):
    return np.random.default_rng(0).normal(size=(64, *shape)).astype("float32")


def seen(model, x, **options):
    student = compression.quantize_aware(model, **options)
    for _ in range(4):
        student(x, training=True)
    return student


@pytest.mark.parametrize(
    "layer",
    [
        layers.SeparableConv2D(4, 3, activity_regularizer="l2"),
        layers.SeparableConv2D(4, 3, activation="silu", activity_regularizer="l2"),
        layers.Conv2D(4, 3, activation="relu", activity_regularizer="l2"),
        layers.Conv2D(4, 3, activation="silu", activity_regularizer="l2"),
        layers.Activation("silu", activity_regularizer="l2"),
        layers.Activation("relu", activity_regularizer="l2"),
    ],
)
def test_activity_regularizers_see_what_the_layer_gives(layer):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((6, 6, 3))
    x = layer(layers.Conv2D(3, 1)(x))
    model, x = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x))), images(6, 6, 3)
    model(x, training=True)
    student = seen(model, x)
    (want,), (got,) = model.losses, student.losses
    np.testing.assert_allclose(got, want, rtol=0.02)
    plain = compression.finish(student)
    plain(x)
    assert len(plain.losses) == 1


def test_images_of_whole_numbers():
    inputs = keras.Input((4, 4, 3), dtype="uint8")
    x = layers.Conv2D(2, 1, name="conv")(layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    x = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3)).astype("uint8")
    student = seen(model, x)
    np.testing.assert_allclose(student(x), model(x), atol=0.05)


def test_layers_of_channels_first_stay_in_float():
    inputs = keras.Input((3, 6, 6))
    x = inputs
    for kind in (layers.Conv2D, layers.SeparableConv2D):
        x = kind(3, 1, data_format="channels_first", name=kind.__name__)(x)
    x = layers.DepthwiseConv2D(1, data_format="channels_first", name="depthwise")(x)
    model = keras.Model(inputs, layers.Dense(2, name="dense")(layers.Flatten()(x)))
    student = compression.quantize_aware(model)
    assert [kernel.bits for kernel in compression.report(student).kernels] == [8]


def test_a_layer_as_an_activation_stands_alone():
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation=layers.LeakyReLU(negative_slope=0.3), name="leaky")(inputs)
    model, x = keras.Model(inputs, layers.Dense(2)(x)), images(4)
    student = seen(model, x)
    assert "leaky_linear_range" in [layer.name for layer in student.layers]
    np.testing.assert_allclose(student(x), model(x), atol=0.1)


def test_an_own_function_of_a_name_of_keras_is_not_keras_own():
    def relu(x):
        return ops.maximum(x, 0.5 * x)

    inputs = keras.Input((4,))
    x = layers.Activation(relu)(layers.Dense(6, name="dense")(inputs))
    student = compression.quantize_aware(keras.Model(inputs, layers.Dense(2)(x)))
    assert "dense_range" in [layer.name for layer in student.layers]


@pytest.mark.parametrize("function", [ops.relu, keras.activations.relu])
def test_functions_of_keras_and_of_backends_are_known(function):
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation=function, name="dense")(inputs)
    names = [
        layer.name
        for layer in compression.quantize_aware(keras.Model(inputs, layers.Dense(2)(x))).layers
    ]
    assert "dense_linear_range" not in names
    assert "dense_range" in names


def test_a_step_of_a_users_layer_is_not_that_of_rounding():
    @keras.saving.register_keras_serializable("tests")
    class Own(layers.Layer):
        step = 3

        def call(self, x):
            return x + 0.0

    inputs = keras.Input((4,))
    model, x = keras.Model(inputs, layers.Dense(2)(Own()(inputs))), images(4)
    np.testing.assert_allclose(seen(model, x)(x), model(x), atol=0.1)


def test_an_embedding_in_float_has_a_range_after_it():
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(9, 4, name="words")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    ids = np.random.default_rng(0).integers(0, 9, (64, 5))
    names = [layer.name for layer in seen(model, ids, skip=["words"]).layers]
    assert "words_range" in names
    assert "words_range" not in [layer.name for layer in seen(model, ids).layers]


def test_an_input_that_is_an_output_keeps_its_name():
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, {"same": inputs, "d": layers.Dense(3, name="d")(inputs)})
    student, x = seen(model, images(4)), images(4)
    np.testing.assert_array_equal(student(x)["same"], x)
    assert student.output_names == model.output_names


@pytest.mark.parametrize("nested", [False, True])
def test_both_ends_of_every_branch_have_their_own_bits(nested):
    a, b = keras.Input((4,)), keras.Input((4,))
    first = [layers.Dense(4, name=name) for name in ("first_a", "first_b")]
    x = layers.Add()([first[0](a), first[1](b)])
    middle = layers.Dense(4, name="middle")
    x = keras.Sequential([keras.Input((4,)), middle], name="inner")(x) if nested else middle(x)
    ends = [layers.Dense(2, name=name)(x) for name in ("end_a", "end_b")]
    student = compression.quantize_aware(keras.Model([a, b], ends), bits=4, first_and_last=8)
    bits = {}
    for layer in student._flatten_layers():
        for transform in getattr(layer, "transforms", []):
            if isinstance(transform, Quantize):
                bits[layer.layer.name.removesuffix("_before_range")] = transform.bits
    assert bits == {"first_a": 8, "first_b": 8, "middle": 4, "end_a": 8, "end_b": 8}
