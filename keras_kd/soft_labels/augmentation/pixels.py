"""What the shipped augmentations share: checked images, pixels picked by number, dtypes kept."""

from typing import Any

from keras_kd._errors import refusal
from keras_kd.soft_labels.augmentation.draws import uniform

__all__ = [
    "as_dtype",
    "as_float",
    "checked",
    "divided",
    "float_type",
    "in_box",
    "picked",
    "pixel_numbers",
]


def checked(images: Any, *, channels: tuple[int, ...] | None = None, any_size: bool = False) -> Any:
    """Returns `images` as a tensor `(batch, height, width, channels)`.

    Args:
        images: Tensor of this shape or `(batch, height, width)`, which gets one channel.
        channels: The numbers of channels that will do. Default: any.
        any_size: Whether height and width may be unknown until the graph runs.

    Raises:
        ValueError: If the shape is another, or the size of the images is not known.
        TypeError: If the images are not numbers, or several.
    """
    import tensorflow as tf

    if isinstance(images, dict | list | tuple):
        raise refusal(
            "images must be one tensor (batch, height, width, channels)",
            received=f"a {type(images).__name__}",
            mend="Write a function that calls this one on the part that is an image",
            error=TypeError,
        )
    images = tf.convert_to_tensor(images)
    if not (images.dtype.is_floating or images.dtype.is_integer):
        raise refusal(
            "images must be integers or floats",
            received=f"dtype {images.dtype.name}",
            mend="Decode or cast them before",
            error=TypeError,
        )
    shape = images.shape
    framed = shape.rank in (3, 4) and None not in shape[3 if any_size else 1 :]
    if framed and channels and (*shape, 1)[3] not in channels:
        framed = False
    if not framed:
        rule = f" and {' or '.join(map(str, channels))} channels" if channels else ""
        raise refusal(
            f"images must be batches of one known size{rule}",
            expected="(batch, height, width, channels) or (batch, height, width)",
            received=f"shape {tuple(shape) if shape.rank is not None else 'unknown'}",
            mend="Resize the images to one size before, or use a function of your own",
        )
    return images if shape.rank == 4 else images[..., tf.newaxis]


def pixel_numbers(images: Any) -> Any:
    """Returns the number of each pixel in the flattened batch, int32 `(batch, height, width)`."""
    import tensorflow as tf

    batch, height, width = tf.shape(images)[0], *images.shape[1:3]
    return tf.reshape(tf.range(batch * height * width), [batch, height, width])


def picked(images: Any, numbers: Any, *more: Any) -> Any:
    """Returns the pixels of those numbers.

    One `gather_nd` over flat pixels: `gather` along two axes takes twice as long, and a projective
    transform three times (128 images of 32 x 32).

    Args:
        images: Tensor `(batch, height, width, channels)`.
        numbers: int32 tensor `(batch, height, width)`, counted on from `images` into `more`.
        more: Tensors of further pixels, `(..., channels)`, of the dtype of `images`.
    """
    import tensorflow as tf

    pixels = [tf.reshape(part, [-1, images.shape[3]]) for part in (images, *more)]
    flat = tf.concat(pixels, axis=0) if more else pixels[0]
    return tf.gather_nd(flat, numbers[..., tf.newaxis])


def in_box(seeds: Any, draw: int, sides: tuple[Any, Any], images: Any) -> Any:
    """Returns which pixels lie in a box around a random pixel, cut off at the edges.

    Args:
        seeds: int32 tensor `(batch, 2)`.
        draw: Which draw places the box.
        sides: Height and width of the box, in pixels: integers or int32 `(batch,)`.
        images: Tensor `(batch, height, width, channels)`.

    Returns:
        int32 tensor `(batch, height, width)` of ones within and zeros without.
    """
    import tensorflow as tf

    places = uniform(seeds, draw, (2,))
    inside = []
    for axis, side in enumerate(sides):
        length = images.shape[1 + axis]
        start = tf.cast(places[:, axis] * length, tf.int32) - side // 2
        distance = tf.range(length) - start[:, tf.newaxis]
        limit = tf.reshape(side, [-1, 1])
        inside.append(tf.cast((distance >= 0) & (distance < limit), tf.int32))
    return inside[0][:, :, tf.newaxis] * inside[1][:, tf.newaxis, :]


def divided(values: Any, divisor: float) -> Any:
    """Returns `values / divisor`, to the same last bit in eager mode and in every graph.

    Grappler replaces a division by a constant with a multiplication by its reciprocal, which rounds
    differently. A divisor that seems to depend on the values is left alone.

    Args:
        values: Float tensor, none of it negative.
        divisor: A positive number.
    """
    import tensorflow as tf

    one, divisor = (tf.constant(number, values.dtype) for number in (1, divisor))
    return values / tf.where(values < 0, one, divisor)


def float_type(images: Any) -> Any:
    """Returns float32, or float64 where float32 would lose digits."""
    import tensorflow as tf

    wide = images.dtype in (tf.float64, tf.int32, tf.uint32, tf.int64, tf.uint64)
    return tf.float64 if wide else tf.float32


def as_float(images: Any) -> Any:
    """Returns the images in their `float_type`."""
    import tensorflow as tf

    return tf.cast(images, float_type(images))


def as_dtype(values: Any, dtype: Any) -> Any:
    """Returns float values in `dtype`, rounded and saturated where it is an integer one."""
    import tensorflow as tf

    return tf.saturate_cast(tf.round(values), dtype) if dtype.is_integer else tf.cast(values, dtype)
