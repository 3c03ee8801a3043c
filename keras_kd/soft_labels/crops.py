"""Augmentations that move the frame: shifted and resized crops, flips."""

from typing import Any

from keras_kd.soft_labels.draws import uniform
from keras_kd.soft_labels.marks import batched


@batched
def crop_flip(images: Any, seeds: Any, padding: int = 4) -> Any:
    """Shifts each image by up to `padding` pixels either way, and flips every other one.

    Args:
        images: Tensor `(batch, height, width, channels)` or `(batch, height, width)`.
        seeds: int32 tensor `(batch, 2)`.
        padding: Largest shift, in pixels. Pixels from outside of the image are 0.

    Returns:
        Tensor of the shape and dtype of `images`.
    """
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    height, width = images.shape[1:3]
    offsets = tf.cast(uniform(seeds, 0, (2,)) * (2 * padding + 1), tf.int32)
    flip = uniform(seeds, 1) < 0.5
    margin = [[0, 0]] * (images.shape.rank - 3)
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], *margin])
    rows = offsets[:, :1] + tf.range(height)
    columns = tf.where(flip[:, tf.newaxis], tf.range(width)[::-1], tf.range(width))
    padded = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(padded, offsets[:, 1:] + columns, axis=2, batch_dims=1)
