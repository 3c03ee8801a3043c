"""How an augmentation is called: per image, on a whole batch, or on a batch and its partners."""

import functools
from collections.abc import Callable

__all__ = ["BATCHED", "MIXING", "PER_IMAGE", "batched", "call_of", "mixing"]

_MARK = "_keras_kd_call"
PER_IMAGE, BATCHED, MIXING = "per image", "batched", "mixing"


def batched(function: Callable) -> Callable:
    """Marks an augmentation that takes a whole batch: `(images, seeds)`.

    Args:
        function: Returns the augmented images; each one a pure function of its image and seed
            alone, whatever else is in the batch. `images` is a tensor `(batch, ...)` or a nested
            structure of them, `seeds` an int32 tensor `(batch, 2)`.

    Returns:
        `function` itself.

    Example:
    >>> @keras_kd.soft_labels.batched
    ... def darken(images, seeds):
    ...     return images * keras_kd.soft_labels.uniform(seeds, 0)[:, None, None, None]
    """
    setattr(function, _MARK, BATCHED)
    return function


def mixing(function: Callable) -> Callable:
    """Marks an augmentation that mixes each image with a partner: `(images, partners, seeds)`.

    Args:
        function: Returns `(images, share)`: the mixed images, and the part of each one's own
            label in the mixed label, float32 `(batch,)`.

    Returns:
        `function` itself.

    Example:
    >>> @keras_kd.soft_labels.mixing
    ... def halves(images, partners, seeds):
    ...     return (images + partners) / 2, 0.5 * tf.ones(tf.shape(seeds)[0])
    """
    setattr(function, _MARK, MIXING)
    return function


def call_of(function: Callable) -> str:
    """Returns how `function`, or the one in a `functools.partial`, is called."""
    if isinstance(function, functools.partial):
        function = function.func
    return getattr(function, _MARK, PER_IMAGE)
