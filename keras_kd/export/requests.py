"""What is asked of `tflite`, checked against the student before any work begins."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import refusal
from keras_kd.compression import ranges
from keras_kd.export.conversion import serving
from keras_kd.export.options import ADVISED_SAMPLES, TFLiteOptions
from keras_kd.export.student import outputs as outputs_of
from keras_kd.export.student import samples
from keras_kd.export.student.outputs import Output
from keras_kd.export.student.signature import Signature
from keras_kd.export.tflite_file import metadata
from keras_kd.export.tflite_file import normalization as normalization_of
from keras_kd.export.verification import accuracy, reference
from keras_kd.export.verification import verify as checks
from keras_kd.runtimes.batching import Arrays

__all__ = ["Request", "check"]


@dataclass(frozen=True)
class Request:
    """What `tflite` was asked for, checked against the student, and what follows from it.

    Args:
        options: The options as they were given.
        signature: The caller's model, and its inputs in the file.
        outputs: Its outputs.
        calibration: Samples by input name, or `None`.
        compared: Samples to compare on.
        class_ids: Their classes by output name, or `None`.
        labels: The classes' names by output name.
        normalizations: Of the images, by input name.
        tolerance: Relative RMS error allowed.
    """

    options: TFLiteOptions
    signature: Signature
    outputs: list[Output]
    calibration: Arrays | None
    compared: Arrays
    class_ids: accuracy.Labels | None
    labels: metadata.Labels
    normalizations: normalization_of.Normalizations
    tolerance: float

    @property
    def student(self) -> keras.Model:
        """The caller's model."""
        return self.signature.student

    @property
    def ranges_from(self) -> Arrays | None:
        """The samples that the ranges of the tensors come from, if the mode needs any."""
        return self.calibration if self.options.mode.calibrated else None


def check(
    student: keras.Model,
    heads: dict[str, str | None],
    options: TFLiteOptions,
    is_trained: bool = True,
) -> Request:
    """Checks the options of `tflite` against the student.

    Args:
        student: The model to export.
        heads: What is known of its outputs, see `student.heads_of`.
        options: What is asked.
        is_trained: Whether the ranges of a quantisation-aware student must have seen data.

    Raises:
        ValueError: If an option does not fit the student.
        TypeError: If arrays are of the wrong kind.
    """
    _check_not_quantized(student)
    if options.mode.is_wide and ranges.ranges_of(student):
        raise refusal(
            "A quantisation-aware student must be exported in the 8 bits that it was trained for",
            expected="quantization='int8', or one of float",
            received=f"quantization={options.quantization!r}",
            mend="Pass quantization='int8', or export compression.finish(student)",
        )
    signature, outputs = _signature(student, options), outputs_of.of(student, heads)
    labels = metadata.check_class_names(options.labels, outputs)
    normalizations = _normalizations(signature, options.normalization)
    calibration = _calibration(student, signature, options, is_trained)
    compared, y = reference.samples(signature, options.verify, calibration)
    if options.mode.calibrated and options.verify is None and calibration is None:
        compared = ranges.within(student, compared)
    if options.verify is not None or calibration is not None:
        normalization_of.warn_of_other_scale(normalizations, compared)
    accuracy.check_drop(options.max_accuracy_drop, y)
    class_ids = accuracy.check_labels(y, outputs, samples.count(compared))
    if options.mode.calibrated and calibration is not None:
        _require_variety(calibration)
    return Request(
        options=options,
        signature=signature,
        outputs=outputs,
        calibration=calibration,
        compared=compared,
        class_ids=class_ids,
        labels=labels,
        normalizations=normalizations,
        tolerance=checks.check_tolerance(options.tolerance, options.mode.tolerance, outputs),
    )


def _check_not_quantized(student: keras.Model) -> None:
    quantized = {
        layer.name: mode
        for layer in _keras.all_layers(student)
        if isinstance(mode := getattr(layer, "quantization_mode", None), str)
    }
    if quantized:
        name, mode = next(iter(quantized.items()))
        raise refusal(
            "The model must not be quantised by Keras, where a .tflite file is made of it",
            expected="float weights, which this export quantises itself",
            received=f"{len(quantized)} layers of model.quantize({mode!r}), first {name!r}",
            mend="Export the model as it was before model.quantize, with quantization='int8', "
            "or use export.saved_model, which takes it as it is",
        )


def _signature(student: keras.Model, options: TFLiteOptions) -> Signature:
    batch_size = options.batch_size
    signature = Signature.of(student, None if batch_size is None else int(batch_size))
    if any(None in tensor.shape[1:] for tensor in signature.inputs):
        raise refusal(
            "The model's inputs must have fixed sizes for a .tflite file",
            expected="no None in their shapes but the batch",
            received=[tensor.shape for tensor in signature.inputs],
            mend="Rebuild it for one size: x = keras.Input(...); keras.Model(x, student(x))",
        )
    dtypes = {tensor.name: tensor.dtype for tensor in signature.inputs}
    if options.mode.float_inputs_only and any(np.dtype(x).kind in "iub" for x in dtypes.values()):
        raise refusal(
            f"The model's inputs must be floats for quantization={options.quantization!r}",
            expected="float inputs, as TensorFlow's 16-bit quantiser fails on whole numbers",
            received=dtypes,
            mend="Use quantization='int8', which takes them",
        )
    return signature


def _normalizations(signature: Signature, given: Any) -> normalization_of.Normalizations:
    named = signature.renamed(given) if isinstance(given, Mapping) else given
    return normalization_of.check(named, signature.inputs)


def _calibration(
    student: keras.Model, signature: Signature, options: TFLiteOptions, is_trained: bool
) -> Arrays | None:
    mode = options.mode
    if options.calibration is None:
        has_ranges = ranges.check_seen if is_trained else ranges.ranges_of
        if not mode.calibrated or (mode.ranges_from_student and has_ranges(student)):
            return None
        aware = mode.ranges_from_student and serving.is_quantization_aware(signature)
        if aware and options.verify is not None:
            return None
        raise options.uncalibrated(", or verify for a quantisation-aware student" * aware)
    most = samples.MOST_CALIBRATION_SAMPLES
    arrays, _ = samples.read(signature, options.calibration, "calibration", most)
    if mode.calibrated and samples.count(arrays) < ADVISED_SAMPLES:
        warnings.warn(
            f"{samples.count(arrays)} calibration samples may miss the range of values in use: "
            f"give {ADVISED_SAMPLES} or more.",
            stacklevel=4,
        )
    return arrays


def _require_variety(arrays: Arrays) -> None:
    """Raises where all float inputs are constant, so that no range can be found on them."""
    ends = {name: (array.min(), array.max()) for name, array in arrays.items()}
    if any(low < high or arrays[name].dtype.kind != "f" for name, (low, high) in ends.items()):
        return
    raise refusal(
        "calibration must hold samples like those in use",
        expected="values that differ, because the ranges of the tensors come from them",
        received=f"nothing but {next(iter(ends.values()))[0]}",
        mend="Pass calibration=x_train[:200]",
    )
