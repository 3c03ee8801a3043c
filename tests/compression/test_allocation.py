"""Kernels that matter less lose more, and all together as much as was asked for."""

import numpy as np

from keras_kd.compression.allocation import by_layers, scores


def test_the_score_of_each_weight():
    # 1 / (1 + 4 + 9), 4 / (4 + 9), 9 / 9: by hand.
    np.testing.assert_allclose(scores(np.array([[3.0, 1.0], [2.0, 0.0]])), [0, 1 / 14, 4 / 13, 1])
    np.testing.assert_array_equal(scores(np.zeros(3)), 0)


def test_shares_make_the_whole():
    rng = np.random.default_rng(0)
    sizes = {"small": 100, "large": 5_000, "twice": 5_000}
    kernels = {name: np.abs(rng.normal(size=size)) for name, size in sizes.items()}
    kernels["twice"] = 2 * kernels["large"]
    shares = by_layers(kernels, 0.8)
    lost = sum(shares[name] * size for name, size in sizes.items())
    assert abs(lost / sum(sizes.values()) - 0.8) < 1e-3
    assert shares["small"] < 0.4 < shares["large"]
    # A norm after a layer undoes its scale, which says nothing.
    assert abs(shares["large"] - shares["twice"]) < 1e-3


def test_no_kernel_is_lost():
    kernels = {"one": np.array([1e-6]), "many": np.ones(1_000)}
    shares = by_layers(kernels, 0.99)
    assert shares["one"] == 0
    assert by_layers(kernels, 0.0) == {"one": 0.0, "many": 0.0}


def test_zeros_are_counted_by_rank():
    rng = np.random.default_rng(0)
    kernels = {
        name: np.where(rng.uniform(size=size) < 0.75, 0.0, rng.uniform(size=size))
        for name, size in {"first": 128, "second": 200, "none": 32}.items()
    }
    kernels["none"] = np.zeros(32)
    for sparsity in (0.3, 0.7, 0.9):
        shares = by_layers(kernels, sparsity)
        lost = sum(shares[name] * kernel.size for name, kernel in kernels.items())
        assert round(lost) == round(sparsity * 360)
        assert max(shares.values()) < 1
