"""From a student to a checked `.tflite` file."""

import os
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._errors import message
from keras_kd.export import publishing, requests
from keras_kd.export.conversion import child
from keras_kd.export.file_report import Report, measure, sizes
from keras_kd.export.requests import Request
from keras_kd.export.student.model import heads_of, in_float32, student_of
from keras_kd.export.student.signature import Arrays, Signature
from keras_kd.export.tflite_file import flatbuffer, metadata, requirements
from keras_kd.export.tflite_file import normalization as pixels
from keras_kd.export.tflite_file.operators import float_operators, operators
from keras_kd.export.verification import accuracy
from keras_kd.export.verification import verify as checks
from keras_kd.runtimes.litert import Runner

_REFERENCE_SAMPLES = 32


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
        RuntimeError: If TensorFlow's converter fails, e.g. as an operator has no built-in form.
        VerificationError: If the file is wrong or disagrees; it was removed.

    Warns:
        UserWarning: If there are few calibration samples, if the bytes of a uint8 image do not mean
            raw pixels, if the samples are of another scale than `normalization` says, or LiteRT's
            reference kernels disagree.

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
    request = requests.check(
        student_of(model),
        heads=heads_of(model),
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
    signature = replace(request.signature, student=in_float32(request.student))
    samples = request.calibration if request.mode.calibrated else None
    expected = _expected(request, signature, samples)
    with publishing.workspace(target) as folder:
        child.hand_over(signature, folder)
        job = child.Job.of(signature, quantization, request.io_dtype, samples is not None)
        child.run(folder, job, signature, samples)
        file = folder / "model.tflite"
        file.write_bytes(_completed(request, file.read_bytes()))
        report = _report(request, expected, file, os.fspath(path))
        os.replace(file, target)
    return report


def _expected(request: Request, signature: Signature, calibration: Arrays | None) -> Arrays:
    """Returns Keras' own answers, before the long work begins that needs samples it can answer."""
    takes_ids = any(np.dtype(tensor.dtype).kind in "iu" for tensor in signature.inputs)
    if calibration is not None and calibration is not request.compared and takes_ids:
        checks.reference(signature, signature.student, calibration, "calibration samples")
    return checks.reference(signature, request.student, request.compared)


def _completed(request: Request, content: bytes) -> bytes:
    """Refuses what is no plain file with the student's weights, and adds metadata."""
    requirements.require_plain_operators(operators(content))
    requirements.require_weights(request.signature, len(content), request.mode.weight_bytes)
    runner = Runner(content)
    if request.mode.calibrated and request.calibration is None:
        ends = {tensor.name: tensor.dtype for tensor in (*runner.inputs, *runner.outputs)}
        requirements.require_quantized(float_operators(content), ends, request.io_dtype)
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


def _report(request: Request, expected: Arrays, file: Path, path: str) -> Report:
    content, order = file.read_bytes(), [tensor.name for tensor in request.signature.inputs]
    runner = Runner(content)
    calibrated = request.mode.calibrated
    return Report(
        path=path,
        format="tflite",
        quantization=request.quantization,
        operators=operators(content),
        float_operators=float_operators(content) if calibrated else {},
        inputs=tuple(sorted(runner.inputs, key=lambda tensor: order.index(tensor.name))),
        outputs=tuple(sorted(runner.outputs, key=lambda tensor: tensor.name)),
        calibration_samples=request.calibration_samples,
        tolerance=request.tolerance,
        **sizes(file),
        **_agreement(request, expected, runner, content),
        **asdict(measure(runner.invocation(request.compared), runner.threads)),
    )


def _answers(request: Request, runner: Runner) -> Arrays:
    try:
        return runner.predict(request.compared)
    except RuntimeError as error:
        raise checks.VerificationError(
            message(
                "The file must run on LiteRT; no file was left",
                expected="an answer to each sample",
                received=str(error),
                mend="Replace the layer that the operator comes from"
                if request.quantization == "float32"
                else "Export in float32 to see whether the quantization is the cause",
            )
        ) from error


def _agreement(
    request: Request, expected: Arrays, runner: Runner, content: bytes
) -> dict[str, Any]:
    """Returns the report's fields on agreement, or refuses the file."""
    arrays, tolerance = request.compared, request.tolerance
    answers = _answers(request, runner)
    heads = {output.name: output.head for output in request.outputs}
    probabilities = [name for name, head in heads.items() if head in ("softmax", "sigmoid")]
    comparison = checks.compare(expected, answers, probabilities)
    checks.require_close(comparison, tolerance, "The exported file")
    checks.require_spread(comparison, tolerance)
    shares = accuracy.measure(request.class_ids, request.outputs, expected, answers)
    checks.require_accuracy(shares, request.max_accuracy_drop)
    few = {name: array[:_REFERENCE_SAMPLES] for name, array in arrays.items()}
    reference = _reference_error(content, few, expected)
    if reference is None or reference > tolerance:
        # Not refused: some reference kernels are wrong themselves, e.g. SUM in int8.
        error = "it fails" if reference is None else f"error {reference:.2g}"
        warnings.warn(
            "The file agrees with Keras on LiteRT's default kernels, but not on its reference "
            f"kernels ({error}): do not run it with those.",
            stacklevel=4,
        )
    return {
        "reference_error": reference,
        "reference_samples": len(next(iter(few.values()))),
        **asdict(shares),
        **asdict(comparison),
    }


def _reference_error(content: bytes, arrays: Arrays, expected: Arrays) -> float | None:
    try:
        answers = Runner(content, reference=True).predict(arrays)
        rows = {name: expected[name][: len(answer)] for name, answer in answers.items()}
        return checks.compare(rows, answers).relative_error
    except (RuntimeError, ValueError):  # no kernel of that version, or one that fails
        return None
