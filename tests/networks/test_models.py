"""A student is warned of whose own training is not used, or sees other views than the teacher."""

import warnings

import keras
import pytest
from keras import layers

from keras_kd import Distiller


def net(*first, cls=keras.Model):
    inputs = x = keras.Input((8, 8, 1))
    for layer in first:
        x = layer(x)
    return cls(inputs, layers.Dense(3)(layers.Flatten()(x)))


def warnings_of(student):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Distiller(student=student, teacher=net())
    return [str(each.message) for each in caught]


def test_layers_that_augment_inside_the_student():
    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.RandomFlip(name="flip")])
    (said,) = warnings_of(net(inner, layers.RandomTranslation(0.3, 0.3, name="shift")))
    assert "other views than the teacher: flip, shift. Augment in the input pipeline" in said


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dropout(0.5),
        layers.GaussianNoise(0.1),
        layers.Resizing(8, 8),
        layers.Rescaling(2.0),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_other_layers_are_the_students_own_business(layer):
    assert not warnings_of(net(layer))


def test_random_layers_off_the_way_do_not_count():
    student = net()
    student.augmentation = layers.RandomFlip()
    assert not warnings_of(student)


def test_steps_that_are_not_called():
    class Own(keras.Model):
        def train_step(self, data):
            raise AssertionError

        def compute_loss(self, *args, **kwargs):
            raise AssertionError

    (said,) = warnings_of(net(cls=Own))
    assert "never calls Own.train_step, Own.compute_loss. Pass its losses" in said


def test_loading_says_nothing_again(tmp_path):
    with pytest.warns(UserWarning, match="other views"):
        distiller = Distiller(student=net(layers.RandomFlip()), teacher=net())
    distiller.save(tmp_path / "distiller.keras")
    keras.saving.load_model(tmp_path / "distiller.keras")
