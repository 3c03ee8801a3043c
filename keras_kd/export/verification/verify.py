"""An exported file is run and compared with the Keras model before it is handed over."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._errors import check_number, message
from keras_kd.export.student.outputs import Output
from keras_kd.export.verification.accuracy import Accuracy
from keras_kd.export.verification.spread import spread_error
from keras_kd.runtimes.batching import Arrays

__all__ = [
    "SPREAD_TOLERANCE",
    "Comparison",
    "VerificationError",
    "check_tolerance",
    "compare",
    "require_accuracy",
    "require_close",
    "require_spread",
]

# Honest int8 files reach 0.25, a file that gives every sample the same answer 1.
SPREAD_TOLERANCE = 0.5
# A share of class ids comes from two scores that are equal up to rounding.
_EQUAL_SCORES = 1e-3


class VerificationError(ValueError):
    """An exported file is wrong: it was not handed over, and the message says by how much."""


@dataclass(frozen=True)
class Comparison:
    """How far a file's answers are from the Keras model's.

    Args:
        relative_error: `||file - keras|| / ||keras||` over all samples, of the worst output; of
            whole numbers the share that differs.
        argmax_agreement: Share of positions with the same argmax, of the worst output whose last
            axis is longer than 1; of whole numbers, e.g. class ids, the share of equal ones. `None`
            without such an output.
        samples: Number of samples compared.
        spread_error: The error of the worst output by the spread of Keras' answers, see
            `spread.spread_error`; `None` if no output's answers differ.
    """

    relative_error: float
    argmax_agreement: float | None
    samples: int
    spread_error: float | None


def compare(
    expected: Arrays,
    actual: Arrays,
    probabilities: Collection[str] = (),
    mend: str | None = None,
) -> Comparison:
    """Compares a file's answers with the Keras model's, by output name.

    Args:
        expected: The Keras model's answers, one row for each sample.
        actual: The file's.
        probabilities: Names of the outputs that end in a softmax or sigmoid.
        mend: What to do first about answers that are not finite, where that is known.

    Raises:
        VerificationError: If names, shapes or finiteness differ.

    Example:
    >>> compare({"output_0": np.ones((4, 2))}, {"output_0": np.ones((4, 2))}).relative_error
    0.0
    """
    _require_like(expected, actual, mend)
    errors, agreements, spreads = [], [], []
    for name, want in expected.items():
        if want.dtype.kind in "biu":  # ids: how far apart two of them are means nothing
            agreements.append(float(np.mean(want == actual[name])))
            errors.append(float(np.mean(want != actual[name])))
            continue
        want, got = np.float64(want), np.float64(actual[name])
        errors.append(_relative_error(want, got))
        spreads.append(spread_error(want, got, name in probabilities))
        if want.ndim > 1 and want.shape[-1] > 1:
            agreements.append(float(np.mean(want.argmax(-1) == got.argmax(-1))))
    return Comparison(
        relative_error=max(errors),
        argmax_agreement=min(agreements, default=None),
        samples=len(next(iter(expected.values()))),
        spread_error=max((error for error in spreads if error is not None), default=None),
    )


def _require_like(expected: Arrays, actual: Arrays, mend: str | None) -> None:
    shapes = [{name: array.shape for name, array in x.items()} for x in (expected, actual)]
    if shapes[0] != shapes[1]:
        raise VerificationError(
            message(
                "The file's outputs must have the Keras model's names and shapes",
                expected=shapes[0],
                received=shapes[1],
                mend="Report the model: its export is wrong",
            )
        )
    for name, array in actual.items():
        if not np.isfinite(array).all():
            raise VerificationError(
                message(
                    f"The file's output {name!r} must hold finite numbers",
                    received=f"{np.size(array) - np.isfinite(array).sum()} NaN or infinite values",
                    mend=mend or "Export in float32 to see whether the quantization is the cause",
                )
            )


def _relative_error(want: np.ndarray, got: np.ndarray) -> float:
    distance, size = np.linalg.norm(got - want), np.linalg.norm(want)
    if size == 0:
        return 0.0 if distance == 0 else math.inf
    return float(distance / size)


def require_close(
    comparison: Comparison, tolerance: float, what: str, mend: str | None = None
) -> None:
    """Refuses an export that is further from the Keras model than allowed.

    Args:
        comparison: The export's.
        tolerance: Relative error allowed.
        what: What was compared, for the error.
        mend: What to do first, where that is known.

    Raises:
        VerificationError: If its relative error is above `tolerance`.
    """
    if comparison.relative_error <= tolerance:
        return
    agreement = comparison.argmax_agreement
    argmax = "" if agreement is None else f", argmax agreement {agreement:.1%}"
    raise VerificationError(
        message(
            f"{what} must agree with the Keras model; no file was left",
            expected=f"a relative RMS error of at most {tolerance:g}",
            received=f"{comparison.relative_error:.3g}{argmax}, {comparison.samples} samples",
            mend=mend
            or (
                "Calibrate on 100 or more samples like those in use, choose a wider quantization, "
                "or, if the argmax agreement serves you, pass a higher tolerance"
            ),
        )
    )


def require_spread(comparison: Comparison, tolerance: float) -> None:
    """Refuses a file whose answers differ from Keras' nearly as much as those among themselves.

    Raises:
        VerificationError: If its spread error is above 0.5, and above `tolerance`.
    """
    error, allowed = comparison.spread_error, max(SPREAD_TOLERANCE, tolerance)
    if error is None or error <= allowed:
        return
    raise VerificationError(
        message(
            "The exported file must tell samples apart as the Keras model does; no file was left",
            expected=f"an RMS error of at most {allowed:g} of the spread of Keras' answers",
            received=f"{error:.3g} (1: one answer for all), relative RMS error "
            f"{comparison.relative_error:.3g}, {comparison.samples} samples",
            mend="Calibrate on samples scaled and ranged as those in use are, without outliers, "
            "let the model give values around zero and of like size, e.g. scaled targets, or "
            "choose a wider quantization",
        )
    )


def require_accuracy(accuracy: Accuracy, max_drop: float | None) -> None:
    """Refuses an export that loses more accuracy than allowed.

    Raises:
        VerificationError: If it does.
    """
    if max_drop is None:
        return
    drop = accuracy.accuracy_before - accuracy.accuracy_after
    if drop <= max_drop + 1e-9:
        return
    raise VerificationError(
        message(
            "The exported file must keep the Keras model's accuracy; no file was left",
            expected=f"a drop of at most {max_drop:.2%}",
            received=f"{drop:.2%}, from {accuracy.accuracy_before:.2%} to "
            f"{accuracy.accuracy_after:.2%}, of the output {accuracy.accuracy_output!r}",
            mend="Calibrate on samples like those in use, or choose a wider quantization",
        )
    )


def check_tolerance(tolerance: Any, default: float, outputs: Sequence[Output] = ()) -> float:
    """Returns the tolerance in force.

    Args:
        tolerance: What the caller gave, or `None`.
        default: The mode's own.
        outputs: The student's; those of whole numbers need some.

    Raises:
        TypeError: If it is given and not a number.
        ValueError: If it is not positive and finite.
    """
    if tolerance is None:
        return max(default, _EQUAL_SCORES) if any(x.is_whole for x in outputs) else default
    return check_number("tolerance", tolerance, "above 0", example=default)
