"""Layers and models that are called several times, and operations of several outputs."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd import compression
from keras_kd.compression.finishing import baked
from keras_kd.compression.ranges import ranges_of

pytestmark = pytest.mark.usefixtures("rounding")


def images(*shape):
    return np.random.default_rng(0).normal(size=(64, *shape)).astype("float32")


def seen(model, x, passes=8):
    student = compression.quantize_aware(model)
    for _ in range(passes):
        student(x, training=True)
    return student


def relative_error(got, want):
    got, want = (
        np.concatenate([np.ravel(each) for each in keras.tree.flatten(outputs)])
        for outputs in (got, want)
    )
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def twice_in_between():
    shared, x = layers.Dense(4, "relu", name="shared"), keras.Input((4,))
    return keras.Model(x, layers.Dense(2)(shared(shared(x))))


def twice_the_end():
    shared, x = layers.Dense(4, name="shared"), keras.Input((4,))
    return keras.Model(x, shared(shared(x)))


def both_outputs():
    shared, x = layers.Dense(4, name="shared"), keras.Input((4,))
    return keras.Model(x, [shared(x), shared(layers.Dense(4)(x))])


def with_an_activation_of_its_own():
    shared, x = layers.Dense(4, "silu", name="shared"), keras.Input((4,))
    return keras.Model(x, [layers.Dense(2)(shared(x)), shared(layers.Dense(4)(x))])


def activation():
    shared, x = layers.ReLU(name="shared"), keras.Input((4,))
    return keras.Model(x, layers.Dense(2)(shared(layers.Dense(3)(shared(layers.Dense(3)(x))))))


def several_outputs():
    x = keras.Input((4,))
    first, second = ops.split(layers.Dense(6)(x), 2, axis=-1)
    return keras.Model(x, [layers.Dense(2)(first), second])


@pytest.mark.parametrize(
    "build",
    [
        twice_in_between,
        twice_the_end,
        both_outputs,
        with_an_activation_of_its_own,
        activation,
        several_outputs,
    ],
)
def test_graphs_that_call_a_layer_again(build, tmp_path):
    keras.utils.set_random_seed(0)
    model, x = build(), images(4)
    student = seen(model, x)
    assert relative_error(student(x), model(x)) < 0.1
    assert len(student.trainable_weights) == len(model.trainable_weights)
    student.save(tmp_path / "student.keras")
    loaded = keras.models.load_model(tmp_path / "student.keras")
    for got, want in zip(keras.tree.flatten(loaded(x)), keras.tree.flatten(student(x))):
        np.testing.assert_array_equal(got, want)
    plain = compression.finish(student)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in model.layers]
    assert relative_error(plain(x), model(x)) < 0.1


def test_a_model_that_is_called_twice_keeps_the_wider_values():
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(6, "relu", name="hidden")
    tower = keras.Sequential([keras.Input((4,)), hidden, layers.Dense(5)])
    narrow, wide = keras.Input((4,)), keras.Input((4,))
    joined = layers.Concatenate()([tower(narrow), tower(wide)])
    model, x = keras.Model([narrow, wide], layers.Dense(2)(joined)), images(4)
    student = seen(model, [x, 10 * x], passes=50)
    assert relative_error(student([x, 10 * x]), model([x, 10 * x])) < 0.05
    inner = [each for each in ranges_of(student) if each.name == "hidden_range"]
    assert [each.calls for each in inner] == [2]


def test_a_separable_layer_that_is_called_twice_keeps_the_wider_values():
    keras.utils.set_random_seed(0)
    shared, x = layers.SeparableConv2D(3, 1, name="shared"), keras.Input((4, 4, 3))
    model = keras.Model(x, layers.Concatenate()([shared(x), shared(x * 10.0)]))
    student = seen(model, images(4, 4, 3), passes=50)
    assert student.get_layer("shared").between.calls == 2


def test_a_norm_after_two_layers_stands_alone():
    keras.utils.set_random_seed(0)
    norm, x = layers.BatchNormalization(), keras.Input((4,))
    parts = [layers.Activation("relu")(norm(layers.Dense(6)(x))) for _ in range(2)]
    model, x = keras.Model(x, layers.Dense(2)(layers.Add()(parts))), images(4)
    norm.set_weights([np.linspace(0.5, 2, 6), *(np.linspace(-1, 1, 6) + k for k in (0, 0, 2))])
    student = seen(model, x)
    assert relative_error(student(x), model(x, training=False)) < 0.2
    assert relative_error(baked(student)(x), student(x)) < 0.05


def test_a_layer_shared_with_a_nested_model_keeps_its_norm_apart():
    keras.utils.set_random_seed(0)
    shared, x = layers.Dense(4, name="shared"), keras.Input((4,))
    inner_input = keras.Input((4,))
    norm = layers.BatchNormalization()
    inner = keras.Model(inner_input, norm(shared(inner_input)), name="inner")
    model = keras.Model(x, layers.Concatenate()([inner(x), shared(x)]))
    norm.set_weights([np.linspace(2, 3, 4), np.ones(4), np.zeros(4), np.ones(4)])
    student, x = seen(model, images(4)), images(4)
    want = layers.Concatenate()([inner(x, training=False), shared(x)])
    assert relative_error(student(x), want) < 0.1
    assert relative_error(baked(student)(x), want) < 0.1
