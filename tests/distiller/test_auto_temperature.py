"""The temperature at which a teacher's answers have a certain mean confidence."""

import numpy as np
import pytest

from keras_kd.distiller.auto_temperature import confidence, temperature_of


def logits(scale=40.0, classes=10):
    return scale * np.random.default_rng(0).normal(size=(400, classes))


def test_confidence_is_the_mean_of_the_largest_probability():
    z = logits() / 3.0
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    np.testing.assert_allclose(confidence(logits(), 3.0), p.max(-1).mean(), rtol=1e-12)


def test_confidence_of_sigmoids_is_that_of_each_yes_or_no():
    p = 1 / (1 + np.exp(-logits() / 3.0))
    expected = np.maximum(p, 1 - p).mean()
    np.testing.assert_allclose(confidence(logits(), 3.0, "sigmoid"), expected, rtol=1e-12)


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize("target", [0.8, 0.9])
def test_softens_until_the_confidence_is_the_target(head, target):
    found = temperature_of(logits(), target, head)
    assert found > 1.0
    np.testing.assert_allclose(confidence(logits(), found, head), target, rtol=1e-6)


def test_does_not_sharpen():
    assert temperature_of(logits(0.1)) == 1.0
