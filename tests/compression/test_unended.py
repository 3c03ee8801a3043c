"""Training that stopped in the middle of a pruning schedule does not pass in silence."""

import keras
import pytest
from keras import layers

from keras_kd import compression
from keras_kd.compression.finishing import baked


@pytest.fixture
def student(data):
    x, y = data
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(3)])
    student = compression.prune(model, 0.5, steps=3, begin=1)
    student.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    student.train_on_batch(x, y)
    return student


@pytest.mark.parametrize("method", [compression.cluster, compression.quantize_aware, baked])
def test_schedules_that_have_not_ended(request, data, student, method):
    if method is compression.quantize_aware:
        request.getfixturevalue("rounding")
    with pytest.warns(UserWarning, match="schedule of .* is at step 1 of 4"):
        method(student)
    for layer in student.layers:
        layer.transforms[0].called.assign(4)
    method(student)


def test_finish_refuses_them(student, data):
    with pytest.raises(ValueError, match="its schedule is at step 1 of 4"):
        compression.finish(student)
    # The one before last may prune as much; its mask may still move.
    student.train_on_batch(*data)
    student.train_on_batch(*data)
    with pytest.raises(ValueError, match="its schedule is at step 3 of 4"):
        compression.finish(student)


def test_methods_may_be_composed_before_training():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    compression.cluster(compression.prune(model, 0.5, steps=9))


def test_a_file_of_what_was_never_pruned_is_warned_of():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    student = compression.prune(model, 0.5, steps=0)
    with pytest.warns(UserWarning, match="is at step 0 of 1.*has been pruned so far"):
        baked(student)
