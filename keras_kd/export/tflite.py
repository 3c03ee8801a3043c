"""From a student to a checked `.tflite` file."""

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import _files
from keras_kd.export import agreement, doubts, placing, publishing, requests
from keras_kd.export.conversion import child
from keras_kd.export.conversion.task import Task
from keras_kd.export.file_report import Report, measure, sizes
from keras_kd.export.options import TFLiteOptions
from keras_kd.export.requests import Request
from keras_kd.export.student.model import heads_of, in_float32, student_of
from keras_kd.export.student.samples import count
from keras_kd.export.student.signature import Signature
from keras_kd.export.tflite_file import flatbuffer, metadata, requirements
from keras_kd.export.tflite_file import normalization as pixels
from keras_kd.export.tflite_file.operators import float_operators, operators
from keras_kd.export.verification import reference
from keras_kd.runtimes.batching import Arrays
from keras_kd.runtimes.litert import Isolated, Runner

__all__ = ["check", "tflite"]


def tflite(
    model: keras.Model,
    path: str | os.PathLike[str],
    quantization: str = "float32",
    calibration: Any = None,
    batch_size: int | None = 1,
    io_dtype: str | None = None,
    labels: Any = None,
    normalization: Any = None,
    verify: Any = None,
    tolerance: float | None = None,
    max_accuracy_drop: float | None = None,
) -> Report:
    """Exports a student as a `.tflite` file, runs the file, and compares it with the Keras model.

    The file holds the student's inference pass in built-in operators only, with one signature
    `"serve"`: inputs named as in Keras, outputs named by the keys of a dict output or by the
    output layers, a single output `"output_0"`. It carries metadata for MediaPipe and LiteRT.
    Half-precision students are exported from an exact float32 copy, students trained on JAX by a
    process that loads them on TensorFlow. `path` changes only after the checks have passed.

    Args:
        model: A built model, or a `keras_kd.Distiller`, whose student is exported.
        path: The file to write, or to replace.
        quantization: `"float32"`; `"float16"` or `"dynamic"` for weights of 2 or 1 bytes and
            arithmetic in float, where dynamic leaves weights of less than 1,024 numbers as they
            are; `"int8"` for weights and arithmetic in whole numbers; `"int16x8"`
            for 16-bit activations, where operators without such kernels stay in float.
        calibration: Samples like those in use, 100 or more: an array, for several inputs a list or
            a dict by input name; or a tf.data dataset, a generator or a function that returns one,
            of batches or samples `x` or `(x, y)`, of which the first 1,000 samples are read.
            Needed for int8 and int16x8, unless the student is quantisation-aware in every part
            and int8 files are checked on `verify`; other files are only checked on them.
        batch_size: Samples in one invocation; `None` for any number.
        io_dtype: Dtype of the float inputs and outputs: `"int8"` (default), `"uint8"` or
            `"float32"` for int8, `"int16"` (default) or `"float32"` for int16x8. Inputs of whole
            numbers stay as they are.
        labels: The classes' names in order; with several outputs a dict by output name.
        normalization: `(mean, std)` of an image's pixels from 0 to 255, numbers or one for each
            channel: the student takes `(pixel - mean) / std`. `(0, 1)` if it takes raw pixels.
            For several images that differ a dict by input name.
        verify: Samples to compare on, in the forms of `calibration`, which is the default; all are
            read. A tuple `(x, y)` with class ids or one-hot rows `y` adds the accuracy before and
            after. Without either, a float file is compared on seeded random inputs.
        tolerance: Relative RMS error allowed. Defaults to 1e-4 for float32, 1e-2 for float16, 0.05
            for dynamic and int16x8, 0.15 for int8.
        max_accuracy_drop: Accuracy that may be lost, e.g. 0.003 for 0.3 points.

    Returns:
        A `Report`: sizes, operators, inputs and outputs, agreement with Keras, latency.

    Raises:
        ValueError: If an argument is wrong; nothing was written then.
        TypeError: If `model`, `path` or an array is of the wrong kind.
        RuntimeError: If TensorFlow's converter fails, e.g. where an operator has no built-in form.
        VerificationError: If the file is wrong or disagrees; it was removed.
        OSError: If the disk is full.

    Warns:
        UserWarning: If there are few calibration samples, if the bytes of a uint8 image do not mean
            raw pixels, if the samples are of another scale than `normalization` says, if LiteRT's
            reference kernels disagree, if an int8 file computes in float in part, or if its
            unrolled layers make it larger than a float file.

    Example:
    ```python
    report = keras_kd.export.tflite(
        student, "student.tflite", quantization="int8", calibration=x_train[:200],
        verify=(x_test, y_test), max_accuracy_drop=0.01,
    )
    print(report)
    ```
    """
    target = publishing.file_target(path)
    options = TFLiteOptions(
        quantization=quantization,
        calibration=calibration,
        batch_size=batch_size,
        io_dtype=io_dtype,
        labels=labels,
        normalization=normalization,
        verify=verify,
        tolerance=tolerance,
        max_accuracy_drop=max_accuracy_drop,
    )
    request = requests.check(student_of(model), heads_of(model), options)
    signature = replace(request.signature, student=in_float32(request.student))
    samples = request.ranges_from
    expected = _expected(request, signature, samples)
    with placing.workspace(target) as folder:
        child.hand_over(signature, folder)
        task = Task.of(signature, quantization, options.file_dtype, samples is not None)
        child.run(folder, task, signature, samples)
        file = folder / "completed.tflite"
        _files.write(file, _completed(request, folder / "model.tflite"))
        report = _report(request, expected, file, os.fspath(path))
        _files.put(file, target)
    return report


def check(model: keras.Model, **options: Any) -> None:
    """Raises what `tflite` raises before its work, for a model that is yet to be trained.

    Args:
        model: As in `tflite`.
        **options: Those of `tflite`.

    Raises:
        ValueError: If an option does not fit the model, or the model cannot be exported.
        TypeError: If arrays are of the wrong kind.
    """
    record = TFLiteOptions(**options)
    requests.check(student_of(model), heads_of(model), record, is_trained=False)


def _expected(request: Request, signature: Signature, calibration: Arrays | None) -> Arrays:
    """Returns Keras' own answers, before the long work begins that needs samples it can answer."""
    takes_ids = any(np.dtype(tensor.dtype).kind in "iu" for tensor in signature.inputs)
    if calibration is not None and calibration is not request.compared and takes_ids:
        reference.reference(signature, signature.student, calibration, "calibration samples")
    return reference.reference(signature, request.student, request.compared)


def _completed(request: Request, file: Path) -> bytes:
    """Refuses a file that lacks the student's weights or is not plain, and adds metadata."""
    content = file.read_bytes()
    requirements.require_plain_operators(operators(content))
    requirements.require_weights(request.signature, len(content), request.options.mode.weight_bytes)
    runner = _loaded(request, file)
    if request.options.mode.calibrated and request.calibration is None:
        ends = {tensor.name: tensor.dtype for tensor in (*runner.inputs, *runner.outputs)}
        requirements.require_quantized(float_operators(content), ends, request.options.file_dtype)
    pixels.require_bytes_alike(runner.inputs, request.normalizations)
    known = {output.name: output for output in request.outputs}
    root, files = metadata.tables(
        request.student.name,
        runner.inputs,
        [(tensor, known[tensor.name]) for tensor in runner.outputs],
        request.labels,
        request.normalizations,
    )
    return flatbuffer.with_metadata(content, root, files)


def _loaded(request: Request, file: Path) -> Isolated:
    try:
        return Isolated(file)
    except RuntimeError as error:
        raise agreement.does_not_run(request, error) from error


def _report(request: Request, expected: Arrays, file: Path, path: str) -> Report:
    content, order = file.read_bytes(), [tensor.name for tensor in request.signature.inputs]
    found = agreement.check(request, expected, _loaded(request, file), file)
    in_float = float_operators(content) if request.options.mode.calibrated else {}
    doubts.warn(request, in_float, len(content))
    runner = Runner(content)  # a file that has been run: it does not end this process
    return Report(
        path=path,
        format="tflite",
        quantization=request.options.quantization,
        operators=operators(content),
        float_operators=in_float,
        inputs=tuple(sorted(runner.inputs, key=lambda tensor: order.index(tensor.name))),
        outputs=tuple(sorted(runner.outputs, key=lambda tensor: tensor.name)),
        calibration_samples=0 if request.ranges_from is None else count(request.ranges_from),
        tolerance=request.tolerance,
        **sizes(file),
        **found,
        **asdict(measure(runner.invocation(request.compared), runner.threads)),
    )
