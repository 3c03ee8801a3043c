"""What a `.tflite` file says of itself to MediaPipe and LiteRT: images, scores, labels.

The format is TensorFlow's `metadata_schema.fbs`; the numbers below are its slots and enum values.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._errors import message
from keras_kd.export.flat import Byte, Fields, UInt
from keras_kd.export.outputs import Output
from keras_kd.export.tensors import TensorInfo

_RGB, _GRAYSCALE = 1, 2
_AXIS_LABELS = 2
_NORMALIZATION = Byte(1)
_FEATURE, _IMAGE = Byte(1), Byte(2)

# What raw pixels from 0 to 255 usually become: themselves, 0 to 1, or -1 to 1.
_USUAL_RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
_RANGE_TOLERANCE = 0.02

Labels = dict[str, list[str]]


@dataclass(frozen=True)
class Normalization:
    """`(pixel - mean) / std` turns pixels from 0 to 255 into what the student takes, by channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def check_labels(labels: Any, outputs: Sequence[Output]) -> Labels:
    """Returns the classes' names by output name.

    Raises:
        TypeError: If they are not strings.
        ValueError: If their number is not that of an output's classes.
    """
    if labels is None:
        return {}
    known = {output.name: output for output in outputs}
    if not isinstance(labels, Mapping):
        labels = dict.fromkeys(known, labels) if len(known) == 1 else {None: labels}
    if not set(labels) <= set(known):
        raise _wrong(
            "labels must say whose they are", f"a dict with keys among {list(known)}", list(labels)
        )
    for name, given in labels.items():
        _check_names(given, known[name])
    return {name: list(given) for name, given in labels.items()}


def _check_names(given: Any, output: Output) -> None:
    listed = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
    if not listed or not all(isinstance(label, str) for label in given):
        raise TypeError(
            message(
                "labels must be strings",
                expected="a list of one name for each class",
                received=repr(given)[:80],
                mend="Pass labels=[str(name) for name in names]",
            )
        )
    if len(given) != output.classes:
        raise _wrong(
            f"labels must be as many as the classes of the output {output.name!r}",
            output.classes,
            len(given),
        )
    if any(not label.strip() or "\n" in label or "\r" in label for label in given):
        raise _wrong("labels must fit a line each", "names without line breaks", list(given)[:9])


def check_normalization(normalization: Any, inputs: Sequence[TensorInfo]) -> Normalization | None:
    """Returns the mean and the standard deviation of the pixels.

    Raises:
        ValueError: If there is no image, or the values are not one for all or for each channel.
        TypeError: If they are not numbers.
    """
    if normalization is None:
        return None
    images = [tensor for tensor in inputs if _channels(tensor)]
    if not images:
        shapes = [tensor.shape for tensor in inputs]
        raise _wrong("normalization must be for images", "an input (batch, h, w, 1 or 3)", shapes)
    if not isinstance(normalization, list | tuple) or len(normalization) != 2:
        raise _wrong("normalization must be a pair", "(mean, std)", repr(normalization))
    try:
        mean, std = (np.atleast_1d(np.asarray(x, "float64")) for x in normalization)
    except (TypeError, ValueError) as error:
        raise TypeError(
            message(
                "normalization must be numbers",
                expected="(mean, std)",
                received=repr(normalization),
                mend="Pass e.g. normalization=(127.5, 127.5)",
            )
        ) from error
    sizes = {1, *map(_channels, images)} if len(set(map(_channels, images))) == 1 else {1}
    right = all(x.ndim == 1 and x.size in sizes and np.isfinite(x).all() for x in (mean, std))
    if not right or not (std > 0).all():
        expected = "finite numbers, one for all channels or one for each; std above 0"
        raise _wrong("normalization must fit the channels", expected, repr(normalization))
    return Normalization(tuple(mean.tolist()), tuple(std.tolist()))


def require_bytes_as_normalized(
    inputs: Sequence[TensorInfo], normalization: Normalization | None
) -> None:
    """Refuses a file whose bytes mean something else than `normalization` says.

    Raises:
        ValueError: If its scale and zero point turn raw pixels into other values.

    Warns:
        UserWarning: Without `normalization`, if they turn them into none of the usual ranges.
    """
    for tensor in inputs:
        if tensor.dtype != "uint8" or not _channels(tensor):
            continue
        if tensor.scale is None:
            ends = np.array([[0.0, 255.0]])
        else:
            ends = tensor.scale * (np.array([[0.0, 255.0]]) - tensor.zero_point)
        if not normalization:
            _warn_of_odd_bytes(tensor.name, ends)
            continue
        mean, std = (np.array([x]).T for x in (normalization.mean, normalization.std))
        wanted = (np.array([[0.0, 255.0]]) - mean) / std
        if not _are_like(ends, wanted):
            raise _wrong(
                f"The bytes of {tensor.name!r} must mean what normalization says",
                f"values from {wanted.min():.4g} to {wanted.max():.4g}",
                f"values from {ends.min():.4g} to {ends.max():.4g}",
                "Calibrate on images that reach from black to white, or use io_dtype='float32'",
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
            received=f"values from {ends.min():.4g} to {ends.max():.4g}",
            mend="Pass normalization=(mean, std), which is checked, and calibrate on images that "
            "reach from black to white, or quantise pixels in the app by the report's scale",
        ),
        stacklevel=5,
    )


def tables(
    name: str,
    inputs: Sequence[TensorInfo],
    outputs: Sequence[tuple[TensorInfo, Output]],
    labels: Labels,
    normalization: Normalization | None,
) -> tuple[Fields, dict[str, bytes]]:
    """Returns the metadata's root table, and the files that it names.

    Args:
        name: The model's name.
        inputs: In the file's own order.
        outputs: In the file's own order, as the file and as the student have them.
        labels: From `check_labels`.
        normalization: From `check_normalization`.
    """
    files = {
        file: "".join(f"{label}\n" for label in names).encode()
        for output, names in labels.items()
        for file in [_label_file(output, labels)]
    }
    graph = {
        0: name,
        2: [_input(tensor, normalization) for tensor in inputs],
        3: [_output(tensor, output, labels) for tensor, output in outputs],
    }
    return {0: name, 3: [graph], 7: "1.0.0"}, files


def _input(tensor: TensorInfo, normalization: Normalization | None) -> Fields:
    channels = _channels(tensor)
    if not channels:
        return {0: tensor.name, 3: {0: _FEATURE, 1: {}}}
    color = Byte(_RGB if channels == 3 else _GRAYSCALE)
    size = {0: UInt(tensor.shape[2]), 1: UInt(tensor.shape[1])}
    image: Fields = {0: tensor.name, 3: {0: _IMAGE, 1: {0: color, 1: size}}}
    if normalization:
        mean, std = np.float32(normalization.mean), np.float32(normalization.std)
        image[4] = [{0: _NORMALIZATION, 1: {0: mean, 1: std}}]
        image[5] = {0: (255 - mean) / std, 1: (0 - mean) / std}
    return image


def _output(tensor: TensorInfo, output: Output, labels: Labels) -> Fields:
    fields: Fields = {0: tensor.name, 3: {0: _FEATURE, 1: {}}}
    if output.head in ("softmax", "sigmoid"):
        fields[5] = {0: np.float32([1]), 1: np.float32([0])}
    if tensor.name in labels:
        fields[6] = [{0: _label_file(tensor.name, labels), 2: Byte(_AXIS_LABELS)}]
    return fields


def _label_file(output: str, labels: Labels) -> str:
    return "labels.txt" if len(labels) == 1 else f"labels_{output}.txt"


def _channels(tensor: TensorInfo) -> int | None:
    """How many color channels, `None` for what is no image."""
    shape = tensor.shape
    return shape[3] if len(shape) == 4 and shape[3] in (1, 3) and None not in shape[1:] else None


def _wrong(what: str, expected: Any, received: Any, mend: str | None = None) -> ValueError:
    mend = mend or "Leave it out, or pass what is expected"
    return ValueError(message(what, expected=expected, received=received, mend=mend))
