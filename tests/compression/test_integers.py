"""Inference counts in whole numbers, and rounds halves as the file's kernels do."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd.compression.integers import Source, counted, in_steps
from keras_kd.compression.ranges import ActivationRange


def test_halves_go_to_the_even_number():
    # A step of 1 between the ends -128 and 127, and values in halves.
    values = np.array([-200.0, -1.5, -0.5, 0.5, 1.5, 2.5, 200.0], "float32")
    given = counted(values, np.float32(0.5), np.float32(-128), np.float32(127))
    np.testing.assert_array_equal(given, [-128, -2, 0, 0, 2, 2, 127])


def test_halves_of_means_go_away_from_the_middle():
    values = np.array([0.5, 1.5, 126.5, 128.5], "float32")
    given = counted(values, np.float32(0.25), np.float32(0), np.float32(255), is_mean=True)
    np.testing.assert_array_equal(given, [0, 1, 126, 129])


def test_whole_numbers_of_steps():
    steps = np.array([0.1, 0.0, -0.5], "float32")  # of an empty channel, and of a negative factor
    np.testing.assert_array_equal(in_steps(np.array([0.3, 2.0, 1.0], "float32"), steps), [3, 2, -2])


@pytest.mark.usefixtures("rounding")
@pytest.mark.parametrize(
    ("between", "share"),
    [
        ([layers.ReLU(), layers.Flatten()], 1.0),
        ([layers.AveragePooling2D(2)], 0.25),
        ([layers.GlobalAveragePooling2D()], 1 / 16),
        ([layers.AveragePooling2D(3, padding="same")], None),
        ([layers.Activation("silu")], None),
    ],
)
def test_steps_are_found_in_the_graph(between, share):
    x, source = keras.Input((4, 4, 2)), Source()
    y = given = ActivationRange()(x)
    for layer in between:
        y = layer(y)
    source.note(y)
    step = source.step()
    if share is None:
        assert step is None
    else:
        expected = share * 12 / 255  # ranges begin at -6 and 6
        np.testing.assert_allclose(ops.convert_to_numpy(step), expected, rtol=1e-6)
    source.note(given)  # of a layer that is called on both
    assert (source.step() is None) == (share != 1.0)
    source.note(x)
    assert source.step() is None
