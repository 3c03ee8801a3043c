"""Features: projectors, paths, and one pass of the student."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.traps.formulas import SPARSE, features_net, frozen


def test_04_the_student_runs_once_with_features(system, data):
    x, y = data
    calls = []

    class Counted(layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    norm = layers.BatchNormalization(momentum=0.5)
    student = features_net(8, [Counted(), norm])
    model = system.on_features(student, features_net(8))
    model.compile(frozen(), loss=SPARSE, run_eagerly=True)
    model.train_on_batch(x, y)
    calls.clear()
    before = np.asarray(norm.moving_mean)
    model.train_on_batch(x, y)
    assert len(calls) == 1
    mean = np.asarray(student.get_layer("conv")(x)).mean(0)
    np.testing.assert_allclose(norm.moving_mean, 0.5 * (before + mean), atol=1e-5)


def test_15_features_of_other_widths_are_projected_or_refused(system, data):
    x, y = data
    try:
        model = system.on_features(features_net(1), features_net(8))
    except ValueError:
        return  # refused at construction
    model.compile("sgd", loss=SPARSE)
    model.fit(x, y, verbose=0)
    shapes = [tuple(w.shape) for w in model.trainable_weights]
    assert (1, 8) in shapes, "the features were broadcast"


def test_16_projectors_train_and_are_no_part_of_the_student(system, data):
    x, y = data
    student = features_net(4)
    count = student.count_params()
    model = system.on_features(student, features_net(8))
    own = [w for w in model.trainable_weights if tuple(w.shape) == (4, 8)]
    before = [np.asarray(w) for w in own]
    model.compile("sgd", loss=SPARSE)
    model.fit(x, y, verbose=0)
    assert own
    assert np.abs(before[0] - np.asarray(own[0])).max() > 0
    assert student.count_params() == count


@pytest.mark.parametrize("where", ["unknown", "nested"])
def test_17_layers_are_found_or_refused_by_name(system, data, where):
    x, y = data
    if where == "unknown":
        with pytest.raises(ValueError, match="covn"):
            system.on_features(features_net(8), features_net(8), path="covn")
        return
    models = []
    for _ in range(2):
        inputs = keras.Input((4,))
        inner = keras.Sequential([keras.Input((4,)), layers.Dense(8, name="conv")], name="inner")
        models.append(keras.Model(inputs, layers.Dense(3)(inner(inputs))))
    model = system.on_features(*models, path="inner/conv", teacher_path="inner/conv")
    model.compile("sgd", loss=SPARSE)
    model.fit(x, y, verbose=0)
