"""From a student to a checked `.tflite` file."""

import os
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._errors import message
from keras_kd.export import archive, child, placing
from keras_kd.export import verify as checks
from keras_kd.export.modes import Mode, io_dtype_of, mode_of
from keras_kd.export.operators import operators
from keras_kd.export.report import Report, measure, sizes
from keras_kd.export.runner import Runner
from keras_kd.export.signature import Arrays, Signature
from keras_kd.export.student import in_float32, student_of

_ADVISED_SAMPLES = 100


def tflite(
    model: keras.Model,
    path: str | os.PathLike[str],
    quantization: str = "float32",
    calibration: Any = None,
    batch_size: int | None = 1,
    io_dtype: str | None = None,
    verify: Any = None,
    tolerance: float | None = None,
) -> Report:
    """Exports a student as a `.tflite` file, runs the file, and compares it with the Keras model.

    The file holds the student's inference pass in built-in operators only, with one signature
    `"serve"`: inputs named as in Keras, outputs named by the keys of a dict output or by the
    output layers, a single output `"output_0"`. Half-precision students are exported from an exact
    float32 copy. `path` changes only after the checks have passed.

    Args:
        model: A built Functional or Sequential model, or a `keras_kd.Distiller`, whose student is
            exported.
        path: The file to write, or to replace.
        quantization: `"float32"`, or `"int8"` for weights and arithmetic in whole numbers.
        calibration: Samples like those in use, 100 or more: an array, or for several inputs a
            list or a dict by input name. Needed for int8; a float file is only checked on them.
        batch_size: Samples in one invocation; `None` for any number.
        io_dtype: For int8, dtype of the float inputs and outputs: `"int8"` (default), `"uint8"` or
            `"float32"`. Inputs of whole numbers stay as they are.
        verify: Samples to compare on, in the form of `calibration`, which is the default. Without
            either, a float file is compared on seeded random inputs.
        tolerance: Relative RMS error allowed. Defaults to 1e-4 for float32 and 0.15 for int8.

    Returns:
        A `Report`: sizes, operators, inputs and outputs, agreement with Keras, latency.

    Raises:
        ValueError: If an argument is wrong; nothing was written then.
        TypeError: If `model`, `path` or an array is of the wrong kind.
        RuntimeError: If TensorFlow's converter fails, e.g. as an operator has no built-in form.
        VerificationError: If the file is wrong or disagrees; it was removed.

    Example:
    ```python
    report = keras_kd.export.tflite(
        student, "student.tflite", quantization="int8", calibration=x_train[:200]
    )
    print(report)
    ```
    """
    mode, target = mode_of(quantization), placing.file_target(path)
    io_dtype = io_dtype_of(mode, io_dtype)
    tolerance = checks.check_tolerance(tolerance, mode.tolerance)
    original = student_of(model)
    signature = _signature(original, batch_size)
    samples = _calibration(signature, mode, quantization, calibration)
    compared = checks.samples(signature, verify, samples)
    with placing.workspace(target) as folder:
        signature = replace(signature, student=in_float32(original))
        archive.write(signature, folder / "saved_model")
        names = [tensor.name for tensor in signature.inputs]
        job = child.Job(quantization, io_dtype, signature.batch_size or 1, names)
        file = child.run(folder, job, samples if mode.calibrated else None)
        runner, used = _opened(file, mode, signature.student)
        comparison = checks.check(runner.predict, signature, original, compared, tolerance)
        report = Report(
            path=os.fspath(path),
            format="tflite",
            quantization=quantization,
            operators=used,
            inputs=tuple(sorted(runner.inputs, key=lambda tensor: names.index(tensor.name))),
            outputs=runner.outputs,
            tolerance=tolerance,
            **sizes(file),
            **asdict(comparison),
            **asdict(measure(runner.invocation(compared), runner.threads)),
        )
        os.replace(file, target)
    return report


def _opened(file: Path, mode: Mode, student: keras.Model) -> tuple[Runner, dict[str, int]]:
    content = file.read_bytes()
    used = operators(content)
    checks.require_plain_operators(used)
    checks.require_weights(student, len(content), mode.weight_bytes)
    return Runner(content), used


def _signature(student: keras.Model, batch_size: int | None) -> Signature:
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
    return signature


def _calibration(
    signature: Signature, mode: Mode, quantization: str, calibration: Any
) -> Arrays | None:
    if calibration is None:
        if not mode.calibrated:
            return None
        raise ValueError(
            message(
                f"calibration must be given for quantization={quantization!r}",
                expected=f"{_ADVISED_SAMPLES} or more samples like those in use",
                received="None",
                mend="Pass calibration=x_train[:200]",
            )
        )
    samples = signature.arrays(calibration, "calibration")
    count = len(next(iter(samples.values())))
    if mode.calibrated and count < _ADVISED_SAMPLES:
        warnings.warn(
            f"{count} calibration samples may miss the range of values in use: "
            f"give {_ADVISED_SAMPLES} or more.",
            stacklevel=3,
        )
    return samples
