"""Augmentations that mix each image with a partner."""

import math
from typing import Any

from keras_kd._errors import check_number
from keras_kd.soft_labels.augmentation.draws import uniform
from keras_kd.soft_labels.augmentation.marks import mixing
from keras_kd.soft_labels.augmentation.pixels import (
    as_dtype,
    as_float,
    checked,
    divided,
    in_box,
    picked,
    pixel_numbers,
)

__all__ = ["beta_cdf", "cutmix", "mixup"]

_STEPS = 256  # shares are multiples of 1/256


@mixing
def mixup(images: Any, partners: Any, seeds: Any, alpha: float = 0.2) -> tuple[Any, Any]:
    """Blends each image with its partner: `share·image + (1 - share)·partner`.

    Args:
        images: Tensor `(batch, height, width, channels)` or `(batch, height, width)`.
        partners: Tensor of the same shape and dtype.
        seeds: int32 tensor `(batch, 2)`.
        alpha: The share is drawn from Beta(alpha, alpha), each image its own. Default 0.2.

    Returns:
        `(images, share)`: the blends, of the shape and dtype of `images`; and the part of the own
        label, float32 `(batch,)`, multiples of 1/256.

    Raises:
        ValueError: If `alpha` is not positive, or the images have no known size.
        TypeError: If `alpha` is not a number.

    Reference:
        - [Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018](
            https://arxiv.org/abs/1710.09412)
    """
    import tensorflow as tf

    share = _share(seeds, 0, check_number("alpha", alpha, "above 0"))
    frames, others = checked(images), checked(partners)
    values = math.prod(frames.shape[1:])
    own, other = (tf.reshape(as_float(part), [-1, values]) for part in (frames, others))
    part = tf.cast(share, own.dtype)[:, tf.newaxis]
    mixed = as_dtype(own * part + other * (1 - part), frames.dtype)
    return tf.reshape(mixed, tf.shape(images)), share


@mixing
def cutmix(images: Any, partners: Any, seeds: Any, alpha: float = 1.0) -> tuple[Any, Any]:
    """Puts a box of its partner into each image.

    The box has the image's shape and `1 - λ` of its area, `λ` from Beta(alpha, alpha), around a
    random pixel. It is cut off at the edges, and the share counts the pixels that are left.

    Args:
        images: Tensor `(batch, height, width, channels)` or `(batch, height, width)`.
        partners: Tensor of the same shape and dtype.
        seeds: int32 tensor `(batch, 2)`.
        alpha: See above. Default 1.0.

    Returns:
        `(images, share)`: of the shape and dtype of `images`; and the part of the own label,
        float32 `(batch,)`, the own pixels divided by all.

    Raises:
        ValueError: If `alpha` is not positive, or the images have no known size.
        TypeError: If `alpha` is not a number.

    Reference:
        - [Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with
            Localizable Features, ICCV 2019](https://arxiv.org/abs/1905.04899)
    """
    import tensorflow as tf

    frames, others = checked(images), checked(partners)
    part = tf.cast(1 - _share(seeds, 0, check_number("alpha", alpha, "above 0")), tf.float64)
    sides = [tf.cast(tf.sqrt(part) * length, tf.int32) for length in frames.shape[1:3]]
    box = in_box(seeds, 1, tuple(sides), frames)
    numbers = pixel_numbers(frames)
    mixed = picked(frames, numbers + box * tf.size(numbers), others)
    pixels = math.prod(frames.shape[1:3])
    left = tf.cast(pixels - tf.reduce_sum(box, axis=[1, 2]), tf.float32)
    return tf.reshape(mixed, tf.shape(images)), divided(left, pixels)


def _share(seeds: Any, draw: int, alpha: float) -> Any:
    """Returns numbers from Beta(alpha, alpha), rounded to multiples of 1/256.

    The distribution function is tabulated here and inverted by comparisons, so that no power or
    logarithm runs in the graph: those of TensorFlow differ in the last bit between the middle
    and the end of a vector.
    """
    import tensorflow as tf

    bounds = [beta_cdf((step + 0.5) / _STEPS, alpha) for step in range(_STEPS)]
    steps = tf.raw_ops.Bucketize(input=uniform(seeds, draw), boundaries=bounds)
    return tf.cast(steps, tf.float32) / _STEPS


def beta_cdf(x: float, alpha: float) -> float:
    """Returns the probability that a number from Beta(alpha, alpha) is at most `x`.

    By the series `x^a (1-x)^a / (a B(a, a)) · Σ_n (2a)_n / (a+1)_n · x^n`, all of whose terms are
    positive, for `x` up to 1/2; by symmetry above.

    Args:
        x: From 0 to 1.
        alpha: Above 0.

    Reference:
        - [NIST Digital Library of Mathematical Functions, 8.17.8](https://dlmf.nist.gov/8.17.E8)
    """
    if x > 0.5:
        return 1.0 - beta_cdf(1.0 - x, alpha)
    term = total = 1.0
    count = 0
    while term > 1e-17 * total:
        term *= (2 * alpha + count) / (alpha + 1 + count) * x
        total += term
        count += 1
    log_beta = 2 * math.lgamma(alpha) - math.lgamma(2 * alpha)
    return total / alpha * math.exp(alpha * (math.log(x) + math.log1p(-x)) - log_beta)
