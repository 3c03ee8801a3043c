"""The mean of several teachers' probabilities, against float64."""

import keras
import numpy as np
import pytest

from keras_kd.teachers import averaging

WEIGHTS = [0.5, 0.3, 0.2]


def softmax(z):
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_probabilities_are_averaged_at_the_temperature(temperature):
    rng = np.random.default_rng(0)
    logits = [rng.normal(size=(24, 5)) * factor for factor in (1.0, 4.0, 9.0)]
    given = [each.astype("float32") for each in logits]
    mean = averaging.mean(given, WEIGHTS, "softmax", temperature)
    found = keras.ops.convert_to_numpy(keras.ops.softmax(mean / temperature))
    expected = sum(w * softmax(z / temperature) for w, z in zip(WEIGHTS, logits))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    mean = averaging.mean(given, WEIGHTS, "sigmoid", temperature)
    found = keras.ops.convert_to_numpy(keras.ops.sigmoid(mean / temperature))
    expected = sum(w / (1 + np.exp(-z / temperature)) for w, z in zip(WEIGHTS, logits))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    mean = keras.ops.convert_to_numpy(averaging.mean(given, WEIGHTS, "logits"))
    expected = sum(w * z for w, z in zip(WEIGHTS, logits))
    np.testing.assert_allclose(mean, expected, atol=1e-5)


def test_members_may_be_as_certain_as_they_like():
    far = [np.float32([[0.0, -200.0]]), np.float32([[-200.0, 0.0]])]
    mean = keras.ops.convert_to_numpy(averaging.mean(far, [0.5, 0.5], "softmax"))
    np.testing.assert_allclose(mean, np.log([[0.5, 0.5]]), atol=1e-6)
