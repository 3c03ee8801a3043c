"""A `.tflite` file is run with both kinds of kernels and held against the Keras model."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_kd._errors import message, reason
from keras_kd.export import doubts
from keras_kd.export.requests import Request
from keras_kd.export.verification import accuracy, channels
from keras_kd.export.verification import verify as checks
from keras_kd.runtimes.batching import Arrays
from keras_kd.runtimes.litert import Isolated

__all__ = ["check", "does_not_run"]

_REFERENCE_SAMPLES = 32


def check(request: Request, expected: Arrays, runner: Isolated, file: Path) -> dict[str, Any]:
    """Returns the report's fields on agreement, or refuses the file.

    Args:
        request: What was asked for.
        expected: The Keras model's answers by output name.
        runner: The file, on LiteRT's default kernels.
        file: The file.

    Raises:
        VerificationError: If the file does not run, or disagrees.

    Warns:
        UserWarning: If it disagrees on LiteRT's reference kernels.
    """
    arrays, tolerance = request.compared, request.tolerance
    try:
        answers = runner.predict(arrays)
    except RuntimeError as error:
        raise does_not_run(request, error) from error
    heads = {output.name: output.head for output in request.outputs}
    probabilities = [name for name, head in heads.items() if head in ("softmax", "sigmoid")]
    mend = doubts.mend(request)
    comparison = checks.compare(expected, answers, probabilities, mend)
    checks.require_close(comparison, tolerance, "The exported file", mend)
    checks.require_spread(comparison, tolerance)
    channel_error = channels.check(expected, answers, heads, tolerance)
    shares = accuracy.measure(request.class_ids, request.outputs, expected, answers)
    checks.require_accuracy(shares, request.options.max_accuracy_drop)
    few = {name: array[:_REFERENCE_SAMPLES] for name, array in arrays.items()}
    return {
        "reference_error": _warned_of(file, few, expected, tolerance),
        "reference_samples": len(next(iter(few.values()))),
        "channel_error": channel_error,
        **asdict(shares),
        **asdict(comparison),
    }


def does_not_run(request: Request, error: RuntimeError) -> checks.VerificationError:
    """Returns the error for a file that LiteRT cannot load or run, or that ends its process."""
    return checks.VerificationError(
        message(
            "The file must run on LiteRT; no file was left",
            expected="an answer to each sample",
            received=str(error),
            mend="Replace the layer that the operator comes from"
            if request.options.quantization == "float32"
            else "Export in float32 to see whether the quantization is the cause",
        )
    )


def _warned_of(file: Path, arrays: Arrays, expected: Arrays, tolerance: float) -> float | None:
    """Returns the error with LiteRT's reference kernels, `None` if they fail."""
    try:
        error = _reference_error(file, arrays, expected)
        words = f"error {error:.2g}"
    except (RuntimeError, ValueError) as failure:  # no kernel of that version, or one that fails
        error, words = None, f"it fails: {_first_line(failure)}"
    if error is None or error > tolerance:
        # Not refused: some reference kernels are wrong themselves, e.g. SUM in int8.
        warnings.warn(
            "The file agrees with Keras on LiteRT's default kernels, but not on its reference "
            f"kernels ({words}): do not run it with those.",
            stacklevel=5,
        )
    return error


def _first_line(failure: Exception) -> str:
    if isinstance(failure, RuntimeError):
        return str(failure).partition("\n")[0][:400]
    return reason(failure)


def _reference_error(file: Path, arrays: Arrays, expected: Arrays) -> float:
    answers = Isolated(file, reference=True).predict(arrays)
    rows = {name: expected[name][: len(answer)] for name, answer in answers.items()}
    return checks.compare(rows, answers).relative_error
