"""Weights that make held-out labels most likely."""

import numpy as np
import pytest

from keras_kd.teachers import Ensemble, Function

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype("float32")
KERNELS = RNG.normal(size=(3, 4, 3))
Y = (X @ KERNELS[0] + RNG.gumbel(size=(300, 3))).argmax(-1)


def members(activation="logits"):
    def of(kernel):
        if activation == "sigmoid":
            return lambda x: 1 / (1 + np.exp(-x @ kernel))
        return lambda x: x @ kernel

    return [Function(of(k), activation, name=f"f{n}") for n, k in enumerate(KERNELS)]


def loss(weights, probabilities):
    return -np.log(sum(w * p for w, p in zip(weights, probabilities))).mean()


def right_ones(logits):
    return np.take_along_axis(
        np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), Y[:, None], -1
    )[:, 0]


def test_no_other_weights_have_a_smaller_loss():
    pytest.importorskip("scipy")
    found = Ensemble.fitted(members(), X, Y, batch_size=128)
    probabilities = [right_ones(X @ kernel) for kernel in KERNELS]
    shares = dict(zip(found.respondents, found.weights))
    weights = [shares.get(f"f{place}", 0.0) for place in range(3)]
    best = loss(weights, probabilities)
    for w in RNG.dirichlet(np.ones(3), 500):
        assert best <= loss(w, probabilities) + 1e-6
    assert sum(found.weights) == pytest.approx(1.0)


def test_sigmoids_are_fitted_class_by_class():
    pytest.importorskip("scipy")
    labels = (X @ KERNELS[1] > 0).astype(int)
    found = Ensemble.fitted(members("sigmoid"), X, labels)
    assert max(found.weights) > 0.9
    with pytest.raises(ValueError, match="y must hold rows of 0 and 1"):
        Ensemble.fitted(members("sigmoid"), X, Y)


def test_bad_input():
    with pytest.raises(ValueError, match="y must hold one label for each sample"):
        Ensemble.fitted(members(), X, Y[:9])
    with pytest.raises(ValueError, match="x must hold at least one sample"):
        Ensemble.fitted(members(), X[:0], Y[:0])
    nan = Function(lambda x: np.full((len(x), 3), np.nan), "logits", name="broken")
    with pytest.raises(ValueError, match=r"Answers to x must be finite.*NaN or Inf from 'broken'"):
        Ensemble.fitted([*members(), nan], X, Y)


def test_members_of_weight_zero_keep_it():
    pytest.importorskip("scipy")
    a, b, c = members()
    found = Ensemble.fitted([Ensemble([a, b], [1, 0]), c], X, Y)
    direct = Ensemble.fitted([a, c], X, Y)
    assert found.members == [a, b, c]
    assert found.weights == [direct.weights[0], 0.0, direct.weights[1]]
