"""What a `.tflite` file says of itself to MediaPipe and LiteRT: images, scores, labels.

The format is TensorFlow's `metadata_schema.fbs`; the numbers below are its slots and enum values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_kd._errors import wrong
from keras_kd.export.student.outputs import Output
from keras_kd.export.tflite_file.flatbuffer import Byte, Fields, UInt
from keras_kd.export.tflite_file.normalization import Normalization, Normalizations
from keras_kd.runtimes.tensors import TensorInfo

__all__ = ["Labels", "check_class_names", "tables"]

_RGB, _GRAYSCALE = 1, 2
_AXIS_LABELS = 2
_NORMALIZATION = Byte(1)
_FEATURE, _IMAGE = Byte(1), Byte(2)

_LEAVE = "Leave it out, or pass what is expected"

Labels = dict[str, list[str]]


def check_class_names(labels: Any, outputs: Sequence[Output]) -> Labels:
    """Returns the classes' names by output name.

    Raises:
        TypeError: If they are not strings.
        ValueError: If their number is not that of an output's classes.
    """
    if labels is None:
        return {}
    known, given = {output.name: output for output in outputs}, labels
    if not isinstance(labels, Mapping):
        labels = dict.fromkeys(known, labels) if len(known) == 1 else {None: labels}
    if not set(labels) <= set(known):
        expected = f"a dict with keys among {list(known)}"
        raise wrong("labels", "say whose they are", given, expected=expected, mend=_LEAVE)
    for name, given in labels.items():
        _check_names(given, known[name])
    return {name: list(given) for name, given in labels.items()}


def _check_names(given: Any, output: Output) -> None:
    listed = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
    if not listed or not all(isinstance(label, str) for label in given):
        expected = "a list of one name for each class"
        mend = "Pass labels=[str(name) for name in names]"
        raise wrong("labels", "be strings", given, expected=expected, mend=mend, error=TypeError)
    if len(given) != output.classes:
        rule = f"be as many as the classes of the output {output.name!r}"
        raise wrong("labels", rule, len(given), expected=str(output.classes), mend=_LEAVE)
    if any(not label.strip() or "\n" in label or "\r" in label for label in given):
        expected = "names without line breaks"
        raise wrong("labels", "fit a line each", list(given), expected=expected, mend=_LEAVE)


def tables(
    name: str,
    inputs: Sequence[TensorInfo],
    outputs: Sequence[tuple[TensorInfo, Output]],
    labels: Labels,
    normalizations: Normalizations,
) -> tuple[Fields, dict[str, bytes]]:
    """Returns the metadata's root table, and the files that it names.

    Args:
        name: The model's name.
        inputs: In the file's own order.
        outputs: In the file's own order, as the file and as the student have them.
        labels: From `check_class_names`.
        normalizations: From `normalization.check`.
    """
    files = {
        file: "".join(f"{label}\n" for label in names).encode()
        for output, names in labels.items()
        for file in [_label_file(output, labels)]
    }
    graph = {
        0: name,
        2: [_input(tensor, normalizations.get(tensor.name)) for tensor in inputs],
        3: [_output(tensor, output, labels) for tensor, output in outputs],
    }
    return {0: name, 3: [graph], 7: "1.0.0"}, files


def _input(tensor: TensorInfo, normalization: Normalization | None) -> Fields:
    channels = tensor.channels
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
