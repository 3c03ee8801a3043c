"""Augmentations that change pixels where they are: colours, and holes."""

from typing import Any

from keras_kd._errors import check_number
from keras_kd.soft_labels.augmentation.draws import uniform
from keras_kd.soft_labels.augmentation.marks import batched
from keras_kd.soft_labels.augmentation.pixels import (
    as_dtype,
    as_float,
    checked,
    divided,
    in_box,
    picked,
    pixel_numbers,
)

__all__ = ["color_jitter", "cutout"]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_GREYS = 16 * 255  # steps of the mean grey: whole numbers sum to the same in any order


@batched
def color_jitter(
    images: Any,
    seeds: Any,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
) -> Any:
    """Changes brightness, contrast and saturation of each image, in this order.

    With a factor `f` uniform in `[max(0, 1 - strength), 1 + strength]` for each: `f·x`; then
    `f·x + (1 - f)·m` with the mean grey `m` of the image; then `f·x + (1 - f)·g` with the grey
    `g` of the pixel. After each step values are clipped to the range of the image, which starts
    at 0 and ends at 255 for uint8, at 65535 for uint16. Of other dtypes each image's own
    values tell: it ends at 1 where no value is greater, else at 255. Jitter before you normalise.

    Args:
        images: Tensor `(batch, height, width, channels)` or `(batch, height, width)`, with 3
            channels (red, green, blue) or one.
        seeds: int32 tensor `(batch, 2)`.
        brightness: Strength, at least 0. Default 0.4.
        contrast: Strength, at least 0. Default 0.4.
        saturation: Strength, at least 0; grey images have none to change. Default 0.4.

    Returns:
        Tensor of the shape and dtype of `images`.

    Raises:
        ValueError: If a strength is negative, or the images have other channels.
        TypeError: If a strength is not a number.
    """
    import tensorflow as tf

    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    strengths = [check_number(name, value, "at least 0") for name, value in strengths.items()]
    frames = checked(images, channels=(1, 3))
    height, width, channels = frames.shape[1:]
    pixels = tf.reshape(as_float(frames), [-1, height * width * channels])
    top = _top(pixels, frames.dtype)
    draws = tf.cast(uniform(seeds, 0, (3,)), pixels.dtype)
    low = tf.constant([max(0.0, 1 - strength) for strength in strengths], pixels.dtype)
    factors = low + draws * (1 + tf.constant(strengths, pixels.dtype) - low)
    brighter, steeper, richer = (factors[:, i : i + 1] for i in range(3))

    def clipped(pixels: Any) -> Any:
        return tf.minimum(tf.maximum(pixels, 0), top)

    pixels = clipped(pixels * brighter)
    mean = _mean_grey(_grey(pixels, channels), top)
    pixels = clipped(pixels * steeper + mean * (1 - steeper))
    if channels == 3:
        grey = _grey(pixels, channels) * (1 - richer)
        pixels = tf.reshape(pixels * richer, [-1, height * width, channels])
        pixels = pixels + grey[..., tf.newaxis]
        pixels = clipped(tf.reshape(pixels, [-1, height * width * channels]))
    return tf.reshape(as_dtype(pixels, frames.dtype), tf.shape(images))


def _top(pixels: Any, dtype: Any) -> Any:
    import tensorflow as tf

    if dtype in (tf.uint8, tf.uint16):
        return tf.constant([[dtype.max]], pixels.dtype)
    greatest = tf.reduce_max(pixels, axis=1, keepdims=True)
    return tf.where(greatest <= 1, tf.ones_like(greatest), 255)


def _grey(pixels: Any, channels: int) -> Any:
    import tensorflow as tf

    if channels == 1:
        return pixels
    planes = tf.unstack(tf.reshape(pixels, [-1, pixels.shape[1] // 3, 3]), axis=2)
    red, green, blue = (plane * part for plane, part in zip(planes, _LUMA))
    return red + green + blue


def _mean_grey(grey: Any, top: Any) -> Any:
    import tensorflow as tf

    steps = tf.cast(tf.round(grey * (_GREYS / top)), tf.int64)
    total = tf.cast(tf.reduce_sum(steps, axis=1, keepdims=True), tf.float64)
    return tf.cast(divided(total, _GREYS * grey.shape[1]), grey.dtype) * top


@batched
def cutout(images: Any, seeds: Any, size: float = 0.5, fill: float = 0.0) -> Any:
    """Covers a box around a random pixel of each image.

    The box may reach over the edge, as in the paper: then less is covered.

    Args:
        images: Tensor `(batch, height, width, channels)` or `(batch, height, width)`.
        seeds: int32 tensor `(batch, 2)`.
        size: Sides of the box, as a part of the image's sides. Default 0.5, the paper's 16 pixels
            for CIFAR-10.
        fill: What covers it, in the images' units. Default 0.

    Returns:
        Tensor of the shape and dtype of `images`.

    Raises:
        ValueError: If `size` is not from 0 to 1, or the images have no known size.
        TypeError: If `size` or `fill` is not a number.

    Reference:
        - [DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with
            Cutout, 2017](https://arxiv.org/abs/1708.04552)
    """
    import tensorflow as tf

    size = check_number("size", size, "from 0 to 1")
    fill = check_number("fill", fill, "of either sign")
    frames = checked(images)
    height, width, channels = frames.shape[1:]
    hole = in_box(seeds, 0, (round(size * height), round(size * width)), frames)
    numbers = pixel_numbers(frames)
    cover = as_dtype(tf.fill([1, channels], tf.constant(fill, tf.float64)), frames.dtype)
    after = tf.size(numbers)
    numbers = numbers + hole * (after - numbers)
    return tf.reshape(picked(frames, numbers, cover), tf.shape(images))
