"""What is asked of `tflite`, checked before any work begins."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import message
from keras_kd.export.conversion import serving
from keras_kd.export.conversion.modes import Mode, io_dtype_of, mode_of
from keras_kd.export.student import outputs as outputs_of
from keras_kd.export.student import samples
from keras_kd.export.student.outputs import Output
from keras_kd.export.student.signature import Signature
from keras_kd.export.tflite_file import metadata
from keras_kd.export.tflite_file import normalization as normalization_of
from keras_kd.export.verification import accuracy
from keras_kd.export.verification import verify as checks
from keras_kd.runtimes.batching import Arrays

_ADVISED_SAMPLES = 100


@dataclass(frozen=True)
class Request:
    """The checked arguments of `tflite`, and what follows from them.

    Args:
        student: The caller's model.
        signature: Its inputs in the file.
        outputs: Its outputs.
        quantization: The mode's name.
        mode: The mode.
        io_dtype: What float inputs and outputs become, `None` for no change.
        calibration: Samples by input name, or `None`.
        compared: Samples to compare on.
        class_ids: Their classes by output name, or `None`.
        labels: The classes' names by output name.
        normalizations: Of the images, by input name.
        tolerance: Relative RMS error allowed.
        max_accuracy_drop: Accuracy that may be lost, or `None`.
    """

    student: keras.Model
    signature: Signature
    outputs: list[Output]
    quantization: str
    mode: Mode
    io_dtype: str | None
    calibration: Arrays | None
    compared: Arrays
    class_ids: accuracy.Labels | None
    labels: metadata.Labels
    normalizations: normalization_of.Normalizations
    tolerance: float
    max_accuracy_drop: float | None

    @property
    def calibration_samples(self) -> int:
        """How many samples the ranges of the tensors come from."""
        if self.calibration is None or not self.mode.calibrated:
            return 0
        return len(next(iter(self.calibration.values())))


def check(
    student: keras.Model,
    *,
    heads: dict[str, str | None],
    quantization: Any,
    calibration: Any,
    batch_size: Any,
    io_dtype: Any,
    labels: Any,
    normalization: Any,
    verify: Any,
    tolerance: Any,
    max_accuracy_drop: Any,
) -> Request:
    """Checks the arguments of `tflite`; see there, and `student.heads_of`.

    Raises:
        ValueError: If one of them is wrong.
        TypeError: If it is of the wrong kind.
    """
    mode = mode_of(quantization)
    io_dtype = io_dtype_of(mode, io_dtype)
    _check_not_quantized(student)
    checks.check_tolerance(tolerance, mode.tolerance)
    signature = _signature(student, batch_size, mode, quantization)
    outputs = outputs_of.of(student, heads)
    tolerance = checks.check_tolerance(tolerance, mode.tolerance, outputs)
    names = metadata.check_labels(labels, outputs)
    normalizations = _normalizations(signature, normalization)
    calibration = _calibration(signature, mode, quantization, calibration)
    compared, y = checks.samples(signature, verify, calibration, not mode.calibrated)
    if verify is not None or calibration is not None:
        normalization_of.warn_of_other_scale(normalizations, compared)
    max_drop = accuracy.check_drop(max_accuracy_drop, y)
    class_ids = accuracy.check_labels(y, outputs, len(next(iter(compared.values()))))
    if mode.calibrated and calibration is not None:
        _require_variety(calibration)
    return Request(
        student=student,
        signature=signature,
        outputs=outputs,
        quantization=quantization,
        mode=mode,
        io_dtype=io_dtype,
        calibration=calibration,
        compared=compared,
        class_ids=class_ids,
        labels=names,
        normalizations=normalizations,
        tolerance=tolerance,
        max_accuracy_drop=max_drop,
    )


def check_without_model(
    *,
    quantization: Any = "float32",
    calibration: Any = None,
    batch_size: Any = 1,
    io_dtype: Any = None,
    verify: Any = None,
    tolerance: Any = None,
    max_accuracy_drop: Any = None,
    **_: Any,
) -> None:
    """Refuses those arguments of `tflite` and `saved_model` that are wrong for every model.

    Raises:
        ValueError: If one of them is wrong.
        TypeError: If it is of the wrong kind.
    """
    mode = mode_of(quantization)
    io_dtype_of(mode, io_dtype)
    checks.check_tolerance(tolerance, mode.tolerance)
    _check_batch_size(batch_size)
    accuracy.check_drop(max_accuracy_drop, verify)
    may_be_aware = mode.ranges_from_student and verify is not None
    if calibration is None and mode.calibrated and not may_be_aware:
        raise _uncalibrated(quantization)


def _check_not_quantized(student: keras.Model) -> None:
    quantized = {
        layer.name: mode
        for layer in _keras.all_layers(student)
        if isinstance(mode := getattr(layer, "quantization_mode", None), str)
    }
    if quantized:
        name, mode = next(iter(quantized.items()))
        raise ValueError(
            message(
                "The model must be one that Keras has not quantised, for a .tflite file",
                expected="float weights, which this export quantises itself",
                received=f"{len(quantized)} layers of model.quantize({mode!r}), first {name!r}",
                mend="Export the model as it was before model.quantize, with quantization='int8', "
                "or use export.saved_model, which takes it as it is",
            )
        )


def _check_batch_size(batch_size: Any) -> None:
    whole = isinstance(batch_size, int | np.integer) and not isinstance(batch_size, bool)
    if batch_size is not None and (not whole or batch_size < 1):
        raise ValueError(
            message(
                "batch_size must be a positive whole number",
                expected="an int of at least 1, or None for any number",
                received=repr(batch_size),
                mend="Pass 1 for single samples",
            )
        )


def _signature(student: keras.Model, batch_size: Any, mode: Mode, quantization: str) -> Signature:
    _check_batch_size(batch_size)
    signature = Signature.of(student, None if batch_size is None else int(batch_size))
    if any(None in tensor.shape[1:] for tensor in signature.inputs):
        raise ValueError(
            message(
                "The model's inputs must have fixed sizes for a .tflite file",
                expected="no None in their shapes but the batch",
                received=[tensor.shape for tensor in signature.inputs],
                mend="Rebuild it for one size: inputs = keras.Input(...); keras.Model(inputs, "
                "student(inputs))",
            )
        )
    dtypes = {tensor.name: tensor.dtype for tensor in signature.inputs}
    if mode.float_inputs_only and any(np.dtype(x).kind in "iub" for x in dtypes.values()):
        raise ValueError(
            message(
                f"The model's inputs must be floats for quantization={quantization!r}",
                expected="float inputs, as TensorFlow's 16-bit quantiser fails on whole numbers",
                received=dtypes,
                mend="Use quantization='int8', which takes them",
            )
        )
    return signature


def _normalizations(signature: Signature, given: Any) -> normalization_of.Normalizations:
    named = signature.renamed(given) if isinstance(given, Mapping) else given
    return normalization_of.check(named, signature.inputs)


def _calibration(
    signature: Signature, mode: Mode, quantization: str, calibration: Any
) -> Arrays | None:
    if calibration is None:
        aware = mode.ranges_from_student and serving.is_quantization_aware(signature)
        if aware or not mode.calibrated:
            return None
        raise _uncalibrated(quantization)
    most = samples.MOST_CALIBRATION_SAMPLES
    arrays, _ = samples.read(signature, calibration, "calibration", most)
    count = len(next(iter(arrays.values())))
    if mode.calibrated and count < _ADVISED_SAMPLES:
        warnings.warn(
            f"{count} calibration samples may miss the range of values in use: "
            f"give {_ADVISED_SAMPLES} or more.",
            stacklevel=4,
        )
    return arrays


def _require_variety(arrays: Arrays) -> None:
    """Raises where all float inputs are constant, so that no range can be found on them."""
    ranges = {name: (array.min(), array.max()) for name, array in arrays.items()}
    if any(low < high or arrays[name].dtype.kind != "f" for name, (low, high) in ranges.items()):
        return
    raise ValueError(
        message(
            "calibration must hold samples like those in use",
            expected="values that differ, for the ranges of the tensors come from them",
            received=f"nothing but {next(iter(ranges.values()))[0]}",
            mend="Pass calibration=x_train[:200]",
        )
    )


def _uncalibrated(quantization: str) -> ValueError:
    return ValueError(
        message(
            f"calibration must be given for quantization={quantization!r}",
            expected=f"{_ADVISED_SAMPLES} or more samples like those in use",
            received="None",
            mend="Pass calibration=x_train[:200]",
        )
    )
