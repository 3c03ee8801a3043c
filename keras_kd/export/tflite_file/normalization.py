"""What a student takes instead of an image's pixels from 0 to 255."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._errors import message, refusal, wrong
from keras_kd.runtimes.batching import Arrays
from keras_kd.runtimes.tensors import TensorInfo

__all__ = ["Normalization", "Normalizations", "check", "require_bytes_alike", "warn_of_other_scale"]

_LEAVE = "Leave it out, or pass what is expected"
# What raw pixels from 0 to 255 usually become: themselves, 0 to 1, or -1 to 1.
_USUAL_RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
_RANGE_TOLERANCE = 0.02
# Samples from 0 to 1 and pixels from 0 to 255 differ by more, dark images and outliers by less.
_OTHER_SCALE = 100.0


@dataclass(frozen=True)
class Normalization:
    """`(pixel - mean) / std` turns pixels from 0 to 255 into what the student takes, by channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def ends(self) -> np.ndarray:
        """What 0 and 255 become, `(channels or 1, 2)`."""
        mean, std = (np.array([x]).T for x in (self.mean, self.std))
        return (np.array([[0.0, 255.0]]) - mean) / std


Normalizations = dict[str, Normalization]


def check(given: Any, inputs: Sequence[TensorInfo]) -> Normalizations:
    """Returns mean and standard deviation of the pixels by input name, of images only.

    Args:
        given: `(mean, std)` for all images, a dict of such pairs by input name, or `None`.
        inputs: The student's inputs.

    Raises:
        ValueError: If there is no image, or the values are not one for all or for each channel.
        TypeError: If they are not numbers.
    """
    if given is None:
        return {}
    images = {tensor.name: tensor.channels for tensor in inputs if tensor.channels}
    if not images:
        shapes = [tensor.shape for tensor in inputs]
        expected = "an input (batch, h, w, 1 or 3)"
        raise wrong("normalization", "be for images", shapes, expected=expected, mend=_LEAVE)
    pairs = given if isinstance(given, Mapping) else dict.fromkeys(images, given)
    if not pairs or not set(pairs) <= set(images):
        expected = f"(mean, std), or a dict of such with keys among {list(images)}"
        raise wrong("normalization", "be for images", list(pairs), expected=expected, mend=_LEAVE)
    return {name: _pair(pair, images[name]) for name, pair in pairs.items()}


def _pair(given: Any, channels: int) -> Normalization:
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise wrong("normalization", "be a pair", given, expected="(mean, std)", mend=_LEAVE)
    try:
        mean, std = (np.atleast_1d(np.asarray(x, "float64")) for x in given)
    except (TypeError, ValueError) as error:
        raise wrong(
            "normalization",
            "be numbers",
            given,
            example=(127.5, 127.5),
            error=TypeError,
        ) from error
    sizes = (1, channels)
    right = all(x.ndim == 1 and x.size in sizes and np.isfinite(x).all() for x in (mean, std))
    if not right or not (std > 0).all():
        expected = "finite numbers, one for all channels or one for each; std above 0"
        raise wrong("normalization", "fit the channels", given, expected=expected, mend=_LEAVE)
    return Normalization(tuple(mean.tolist()), tuple(std.tolist()))


def warn_of_other_scale(normalizations: Normalizations, samples: Arrays) -> None:
    """Warns where samples are not what the normalization makes of pixels.

    Args:
        normalizations: From `check`.
        samples: Samples like those in use, by input name.

    Warns:
        UserWarning: If their scale is another by far.
    """
    for name, normalization in normalizations.items():
        wanted = np.ptp(normalization.ends)
        low, high = float(samples[name].min()), float(samples[name].max())
        if wanted / _OTHER_SCALE <= high - low <= wanted * _OTHER_SCALE:
            continue
        warnings.warn(
            message(
                f"The samples of {name!r} must be what normalization makes of pixels",
                expected=_values(normalization.ends),
                received=_values(np.array([low, high])),
                mend="Pass the normalization that the student was trained with, e.g. (0, 255) if "
                "it takes values from 0 to 1, (0, 1) if it takes raw pixels",
            ),
            stacklevel=4,
        )


def require_bytes_alike(inputs: Sequence[TensorInfo], normalizations: Normalizations) -> None:
    """Refuses a file whose bytes mean something else than the normalization says.

    Raises:
        ValueError: If its scale and zero point turn raw pixels into other values.

    Warns:
        UserWarning: Without a normalization, if they turn them into none of the usual ranges.
    """
    for tensor in inputs:
        if tensor.dtype != "uint8" or not tensor.channels:
            continue
        if tensor.scale is None:
            ends = np.array([[0.0, 255.0]])
        else:
            ends = tensor.scale * (np.array([[0.0, 255.0]]) - tensor.zero_point)
        if tensor.name not in normalizations:
            _warn_of_odd_bytes(tensor.name, ends)
            continue
        wanted = normalizations[tensor.name].ends
        if not _are_like(ends, wanted):
            raise refusal(
                f"The bytes of {tensor.name!r} must mean what normalization says",
                expected=_values(wanted),
                received=_values(ends),
                mend="Pass the normalization that the student was trained with, and calibrate "
                "on images that reach from black to white; or use io_dtype='float32'",
            )


def _are_like(ends: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(ends - wanted).max() <= _RANGE_TOLERANCE * np.ptp(wanted))


def _warn_of_odd_bytes(name: str, ends: np.ndarray) -> None:
    if any(_are_like(ends, np.array([usual])) for usual in _USUAL_RANGES):
        return
    warnings.warn(
        message(
            f"The bytes of the image {name!r} must mean raw pixels for a camera or MediaPipe",
            expected="0 to 255 that stand for 0 to 255, 0 to 1 or -1 to 1",
            received=_values(ends),
            mend="Pass normalization=(mean, std), which is checked, and calibrate on images that "
            "reach from black to white, or quantise pixels in the app by the report's scale",
        ),
        stacklevel=5,
    )


def _values(ends: np.ndarray) -> str:
    return f"values from {ends.min():.4g} to {ends.max():.4g}"
