import math

import numpy as np
import pytest

from keras_kd.soft_labels import cutmix, mixup
from keras_kd.soft_labels.augmentation.draws import seeds
from keras_kd.soft_labels.augmentation.mixes import beta_cdf

N = 6000
tensorflow = pytest.mark.tensorflow


def rows(count=N):
    return seeds(0, np.arange(count), 0)


def both(count, dtype, shape=(6, 5, 3)):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (count, *shape)).astype(dtype) for _ in range(2)]


@pytest.mark.parametrize("x", [0.001, 0.1, 0.25, 0.5, 0.7, 0.999])
def test_the_distribution_function_is_that_of_beta(x):
    assert beta_cdf(x, 1.0) == pytest.approx(x, rel=1e-12)
    assert beta_cdf(x, 0.5) == pytest.approx(2 / math.pi * math.asin(math.sqrt(x)), rel=1e-12)
    assert beta_cdf(x, 2.0) == pytest.approx(3 * x**2 - 2 * x**3, rel=1e-12)
    for alpha in (0.001, 0.2, 3.7, 150.0):
        assert beta_cdf(x, alpha) + beta_cdf(1 - x, alpha) == pytest.approx(1)


def test_the_distribution_function_is_the_integral_of_the_density():
    for alpha in (1.3, 4.2, 60.0):
        middles = (np.arange(400_000) + 0.5) / 400_000
        log_density = (alpha - 1) * np.log(middles * (1 - middles))
        density = np.exp(log_density - log_density.max())
        for x in (0.25, 0.5, 0.625):
            expected = density[middles < x].sum() / density.sum()
            assert beta_cdf(x, alpha) == pytest.approx(expected, abs=1e-7)


@tensorflow
@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 3.0])
def test_shares_have_the_moments_of_beta(alpha):
    image = np.ones((N, 1, 1, 1), "float32")
    shown, share = (part.numpy() for part in mixup(image, 0 * image, rows(), alpha=alpha))
    assert share.dtype == np.float32
    np.testing.assert_array_equal(shown[:, 0, 0, 0], share)
    np.testing.assert_array_equal(share * 256, np.round(share * 256))
    variance = 1 / (4 * (2 * alpha + 1))
    fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))
    assert abs(share.mean() - 0.5) < 4 * math.sqrt(variance / N)
    deviation = math.sqrt((fourth - variance**2) / N)
    assert abs(((share - 0.5) ** 2).mean() - variance) < 4 * deviation + 1 / 256**2


@tensorflow
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32", "float64"])
def test_mixup_is_a_blend(dtype):
    own, other = both(40, dtype)
    shown, share = (part.numpy() for part in mixup(own, other, rows(40), alpha=1.0))
    assert shown.dtype == dtype
    part = share.astype(float)[:, None, None, None]
    expected = own.astype(float) * part + other.astype(float) * (1 - part)
    error = np.abs(shown.astype(float) - expected).max()
    assert error < {"float32": 1e-4, "float64": 1e-10, "float16": 0.07}.get(dtype, 0.501)


@tensorflow
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [(8, 6, 3), (8, 6)])
def test_cutmix_puts_one_box_of_the_partner_in(dtype, shape):
    n = 3000
    own, other = np.zeros((n, *shape), dtype), np.ones((n, *shape), dtype)
    shown, share = (part.numpy() for part in cutmix(own, other, rows(n)))
    assert shown.dtype == dtype
    assert shown.shape == own.shape
    assert share.dtype == np.float32
    box = shown.reshape(n, 8, 6, -1)
    np.testing.assert_array_equal(box.min(axis=3), box.max(axis=3))
    box = box[..., 0]
    sides = [box.any(axis=axis).sum(axis=1) for axis in (2, 1)]
    np.testing.assert_array_equal(box.sum(axis=(1, 2)), sides[0] * sides[1])
    np.testing.assert_allclose(share, 1 - box.mean(axis=(1, 2)), rtol=1e-6)
    assert sides[0].max() == 8
    assert sides[1].max() == 6
    # Boxes that are not cut off have half of the area on average.
    assert 0.55 < share.mean() < 0.75


@tensorflow
def test_cutmix_takes_the_partners_pixels_from_the_same_place():
    own, other = both(50, "uint8")
    shown, _ = cutmix(own, other, rows(50))
    assert ((shown == own) | (shown == other)).numpy().all()


@tensorflow
@pytest.mark.parametrize("function", [mixup, cutmix])
def test_alpha_is_checked(function):
    own, other = both(2, "uint8")
    for alpha, error in ((0, ValueError), (-1.0, ValueError), ("a", TypeError)):
        with pytest.raises(error, match=r"alpha must be a finite number above 0"):
            function(own, other, rows(2), alpha=alpha)
