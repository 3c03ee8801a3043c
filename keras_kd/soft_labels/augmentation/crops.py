"""Augmentations that move the frame: shifts and flips, resized crops."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_kd._errors import check_integer, is_number, wrong
from keras_kd.soft_labels.augmentation.draws import uniform
from keras_kd.soft_labels.augmentation.marks import batched
from keras_kd.soft_labels.augmentation.pixels import (
    as_dtype,
    as_float,
    checked,
    divided,
    float_type,
    picked,
)

__all__ = ["crop_flip", "random_resized_crop"]

_TRIES = 10
_RATIO_STEPS = 4096


@batched
def crop_flip(images: Any, seeds: Any, padding: int = 4) -> Any:
    """Shifts each image by up to `padding` pixels either way, and mirrors every other one.

    The usual augmentation for CIFAR: zero padding, a random crop of the old size, a horizontal
    flip with probability 1/2.

    Args:
        images: Tensor `(batch, height, width, channels)` or `(batch, height, width)`.
        seeds: int32 tensor `(batch, 2)`.
        padding: Largest shift, in whole pixels. Default 4.

    Returns:
        Tensor of the shape and dtype of `images`.

    Raises:
        ValueError: If `padding` is negative, or the images have no known size.
        TypeError: If `padding` is not a whole number.

    Example:
    >>> augment = functools.partial(keras_kd.soft_labels.crop_flip, padding=2)
    """
    import tensorflow as tf

    padding = check_integer("padding", padding)
    frames = checked(images)
    height, width = frames.shape[1:3]
    draws = uniform(seeds, 0, (3,))
    shifts = tf.cast(draws[:, :2] * (2 * padding + 1), tf.int32) - padding
    mirrored = draws[:, 2:] < 0.5
    rows = shifts[:, :1] + tf.range(height)
    columns = shifts[:, 1:] + tf.where(mirrored, tf.range(width)[::-1], tf.range(width))

    batch = tf.shape(frames)[0]
    outside = batch * height * width  # the number of the one black pixel after all others
    starts = (tf.range(batch)[:, tf.newaxis] * height + rows) * width
    starts = tf.where((rows >= 0) & (rows < height), starts, outside)
    columns = tf.where((columns >= 0) & (columns < width), columns, outside)
    numbers = tf.minimum(starts[:, :, tf.newaxis] + columns[:, tf.newaxis, :], outside)
    black = tf.zeros([1, frames.shape[3]], frames.dtype)
    return tf.reshape(picked(frames, numbers, black), tf.shape(images))


@batched
def random_resized_crop(
    images: Any,
    seeds: Any,
    size: int | Sequence[int] | None = None,
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    flip: bool = True,
) -> Any:
    """Cuts a box of random area and shape out of each image and resizes it.

    The usual augmentation for ImageNet. The box is made of whole pixels: its area is uniform in
    `scale`, the logarithm of width to height uniform in `ratio`. Of ten candidates the first that
    fits is taken; where none fits, the largest box in the middle with a ratio in bounds. Bilinear,
    without smoothing before it shrinks.

    Args:
        images: Tensor `(batch, height, width, channels)` or `(batch, height, width)`.
        seeds: int32 tensor `(batch, 2)`.
        size: Height and width of the result, or one number for both. Default: as `images`, which
            must then be of one known size.
        scale: Least and greatest area, as parts of the image's. Default `(0.08, 1.0)`.
        ratio: Least and greatest width divided by height. Default `(3/4, 4/3)`.
        flip: Whether every other result is mirrored. Default `True`.

    Returns:
        Tensor `(batch, *size, channels)` or `(batch, *size)`, of the dtype of `images`.

    Raises:
        ValueError: If a range is empty or out of bounds, or the images have no known size.
        TypeError: If an argument is of the wrong type.

    Reference:
        - [Szegedy et al., Going Deeper with Convolutions, CVPR 2015](
            https://arxiv.org/abs/1409.4842)
    """
    import tensorflow as tf

    scale = _in_order("scale", scale, most=1.0)
    ratio = _in_order("ratio", ratio)
    frames = checked(images, any_size=size is not None)
    sizes = frames.shape[1:3] if size is None else _two_sides("size", size)
    starts, sides = _boxes(seeds, tf.shape(frames)[1:3], scale, ratio)
    mirrored = uniform(seeds, 2) < (0.5 if flip else 0.0)
    result = _resized_rows(frames, starts[:, 0], sides[:, 0], sizes[0])
    result = _resized_columns(result, starts[:, 1], sides[:, 1], sizes[1], mirrored)
    result = as_dtype(result, frames.dtype)
    return result if images.shape[3:] else result[..., 0]


def _boxes(seeds: Any, shape: Any, scale: Any, ratio: Any) -> tuple[Any, Any]:
    """Returns starts and sides of the boxes, int32 `(batch, 2)` each: rows, columns.

    The ratios come from a table, so that no power or logarithm runs in the graph: those of
    TensorFlow differ in the last bit between the middle and the end of a vector.
    """
    import tensorflow as tf

    steps = (np.arange(_RATIO_STEPS) + 0.5) / _RATIO_STEPS
    roots = math.sqrt(ratio[0]) * (ratio[1] / ratio[0]) ** (steps / 2)
    draws = uniform(seeds, 0, (_TRIES, 2))
    parts = scale[0] + (scale[1] - scale[0]) * tf.cast(draws[..., 0], tf.float64)
    root = tf.gather(tf.constant(roots), tf.cast(draws[..., 1] * _RATIO_STEPS, tf.int32))
    side = tf.sqrt(parts * tf.cast(shape[0] * shape[1], tf.float64))
    candidates = tf.cast(tf.round(tf.stack([side / root, side * root], axis=-1)), tf.int32)
    candidates = tf.maximum(candidates, 1)
    fits = tf.reduce_all(candidates <= shape, axis=-1)
    first = tf.reduce_min(tf.where(fits, tf.range(_TRIES), _TRIES), axis=-1)
    last = tf.broadcast_to(_middle(shape, ratio), tf.shape(candidates[:, :1]))
    sides = tf.gather(tf.concat([candidates, last], axis=1), first, axis=1, batch_dims=1)
    room = tf.cast(shape - sides + 1, tf.float32)
    return tf.cast(uniform(seeds, 1, (2,)) * room, tf.int32), sides


def _middle(shape: Any, ratio: tuple[float, float]) -> Any:
    """Returns the sides of the largest box with a ratio in bounds."""
    import tensorflow as tf

    height, width = tf.unstack(tf.cast(shape, tf.float64))
    sides = tf.stack([tf.minimum(height, width / ratio[0]), tf.minimum(width, height * ratio[1])])
    return tf.maximum(tf.cast(tf.round(sides), tf.int32), 1)


def _neighbours(starts: Any, sides: Any, size: int, dtype: Any) -> tuple[Any, Any, Any]:
    """Returns for each of `size` places the pixels before and after it and the latter's weight."""
    import tensorflow as tf

    sides = sides[:, tf.newaxis]
    # Centre i + 1/2 of the result lies at (i + 1/2)·side/size of the box.
    twice = (2 * tf.range(size) + 1) * sides - size
    twice = tf.clip_by_value(twice, 0, 2 * size * (sides - 1))
    before = twice // (2 * size)
    weight = divided(tf.cast(twice - before * 2 * size, dtype), 2 * size)
    after = tf.minimum(before + 1, sides - 1)
    return starts[:, tf.newaxis] + before, starts[:, tf.newaxis] + after, weight


def _resized_rows(images: Any, starts: Any, sides: Any, size: int) -> Any:
    import tensorflow as tf

    _, height, width, channels = tf.unstack(tf.shape(images))
    before, after, weight = _neighbours(starts, sides, size, float_type(images))
    offsets = tf.range(tf.shape(images)[0])[:, tf.newaxis] * height
    rows = tf.reshape(images, [-1, width * channels])
    # Only the rows in use become floats: most of a large image is left out.
    before, after = (as_float(tf.gather(rows, offsets + part)) for part in (before, after))
    mixed = before + (after - before) * weight[..., tf.newaxis]
    return tf.ensure_shape(
        tf.reshape(mixed, [-1, size, width, channels]), (None, size, *images.shape[2:])
    )


def _resized_columns(images: Any, starts: Any, sides: Any, size: int, mirrored: Any) -> Any:
    import tensorflow as tf

    before, after, weight = (
        tf.where(mirrored[:, tf.newaxis], part[:, ::-1], part)
        for part in _neighbours(starts, sides, size, images.dtype)
    )
    height, channels = images.shape[1], images.shape[3]
    count, width = tf.shape(images)[0], tf.shape(images)[2]
    first = tf.reshape(tf.range(count * height) * width, [count, height, 1])
    before, after = (
        tf.reshape(picked(images, first + part[:, tf.newaxis, :]), [-1, height, size * channels])
        for part in (before, after)
    )
    # Weights spread over the channels: much faster than broadcasting them along the last axis.
    weight = tf.repeat(weight, channels, axis=1)[:, tf.newaxis, :]
    mixed = before + (after - before) * weight
    return tf.reshape(mixed, [-1, height, size, channels])


def _two_sides(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """Returns height and width from two numbers or from one for both.

    Raises:
        TypeError: If they are not integers.
        ValueError: If there are not two, or one is below 1.
    """
    if not isinstance(value, list | tuple):
        value = (value, value)
    if len(value) != 2:
        raise wrong(
            name, "be height and width", value, expected="one int or two", example=(224, 224)
        )
    height, width = (check_integer(name, side, 1, example=224) for side in value)
    return height, width


def _in_order(name: str, value: Sequence[float], most: float = math.inf) -> tuple[float, float]:
    """Returns the ends of a range of numbers above 0 and up to `most`.

    Raises:
        TypeError: If it is not two numbers.
        ValueError: If they are not in order or out of bounds.
    """
    is_pair = isinstance(value, list | tuple) and list(map(is_number, value)) == [True, True]
    if is_pair and 0 < value[0] <= value[1] <= most and math.isfinite(value[1]):
        return float(value[0]), float(value[1])
    bound = f" and at most {most}" if math.isfinite(most) else ""
    rule = f"be two finite numbers in order, above 0{bound}"
    error = ValueError if is_pair else TypeError
    raise wrong(name, rule, value, example=(0.5, 1.0), error=error)
