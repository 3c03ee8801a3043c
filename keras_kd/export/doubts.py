"""What a quantised export may lose, said in words that help."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._text import bytes_in_words
from keras_kd.export.requests import Request
from keras_kd.runtimes.batching import Arrays

__all__ = ["mend", "warn"]

_LARGEST_HALF = float(np.finfo("float16").max)
# What a file holds beside the weights, of a model of few operators.
_OVERHEAD_BYTES = 10_000
# A feature that has fewer says nothing any more.
_FEW_STEPS = 8
_MOST_NAMED = 5


def warn(request: Request, float_operators: dict[str, int], size: int) -> None:
    """Warns of an int8 file that computes in float in part, or that is larger than a float one.

    Args:
        request: What was asked for.
        float_operators: The file's operators that compute in float.
        size: The file's bytes.
    """
    if request.options.quantization != "int8":
        return
    if float_operators:
        found = ", ".join(f"{name} {count}" for name, count in float_operators.items())
        warnings.warn(
            f"The int8 file computes in float in part: {found} (report.float_operators has them "
            f"for reference). Processors of whole numbers alone do not run it. "
            f"{_whole_mend(request, float_operators)}.",
            stacklevel=4,
        )
    unrolled, in_float = _unrolled(request.student), _float_bytes(request.student)
    if unrolled and size > in_float:
        warnings.warn(
            f"The int8 file holds {bytes_in_words(size)}; in float32 the model takes about "
            f"{bytes_in_words(in_float)} where its recurrent layers loop: unroll=True writes out "
            f"each step of {_listed(unrolled)}. Use quantization='dynamic' with unroll=False, or "
            "shorter sequences.",
            stacklevel=4,
        )


def _unrolled(student: keras.Model) -> list[Any]:
    """Returns the recurrent layers that write out each step."""
    return [x for x in _keras.all_layers(student) if isinstance(x, keras.layers.RNN) and x.unroll]


def _float_bytes(student: keras.Model) -> int:
    return 4 * student.count_params() + _OVERHEAD_BYTES


def _listed(layers: list[Any]) -> str:
    return ", ".join(repr(layer.name) for layer in layers[:_MOST_NAMED])


def _whole_mend(request: Request, float_operators: dict[str, int]) -> str:
    bytes_ = [x.name for x in request.signature.inputs if np.dtype(x.dtype).itemsize == 1]
    if bytes_ and "CAST" in float_operators:
        return (
            f"Give the model a float input instead of {bytes_[0]!r} and export with "
            "io_dtype='uint8', so that bytes go straight in"
        )
    return (
        "Replace the layers that they come from, e.g. LayerNormalization by BatchNormalization, "
        "or leave it at that on a CPU"
    )


def mend(request: Request) -> str | None:
    """Says what to do about a file that disagrees, where model or samples show the reason."""
    if request.options.quantization == "float16":
        return _overflow(request.student)
    if request.options.mode.calibrated and request.calibration is not None:
        return _unlike_features(
            request.calibration, 2**16 if request.options.mode.is_wide else 2**8
        )
    return None


def _overflow(student: keras.Model) -> str | None:
    large = [
        f"{weight.path!r} ({largest:.3g})"
        for weight in student.weights
        if (largest := _largest(weight)) > _LARGEST_HALF
    ]
    if not large:
        return None
    return (
        f"Scale the inputs or targets in training so that all weights lie within float16's "
        f"{_LARGEST_HALF:.0f}, unlike {', '.join(large[:_MOST_NAMED])}, or use "
        "quantization='dynamic' or 'float32'"
    )


def _largest(weight: Any) -> float:
    values = keras.ops.convert_to_numpy(weight)
    return float(np.abs(values).max()) if values.dtype.kind == "f" and values.size else 0.0


def _unlike_features(arrays: Arrays, steps: int) -> str | None:
    """Names the input whose smallest feature has only a few steps of the largest one's range."""
    for name, array in arrays.items():
        if array.dtype.kind != "f" or array.ndim < 2:
            continue
        ranges = np.ptp(np.float64(array.reshape(-1, array.shape[-1])), axis=0)
        small, large = min(ranges[ranges > 0], default=1.0), ranges.max()
        if large * _FEW_STEPS > steps * small:
            return (
                f"Scale the features of {name!r} to a like size before they reach the model, in "
                f"training as in use: they reach over {small:.3g} to {large:.3g} and share {steps} "
                "steps; or give the model inputs of their own for them, or use "
                "quantization='dynamic'"
            )
    return None
