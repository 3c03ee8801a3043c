"""What an export is compared with: samples, and the Keras model's own answers to them."""

from typing import Any

import keras
import numpy as np

from keras_kd._errors import refusal
from keras_kd.compression.students import methods
from keras_kd.export.student.samples import read
from keras_kd.export.student.signature import Signature
from keras_kd.export.verification.verify import compare, require_close
from keras_kd.runtimes.batching import Arrays

__all__ = ["GENERATED_SAMPLES", "HALF_PRECISION_TOLERANCE", "reference", "samples"]

GENERATED_SAMPLES = 96
# A wrong copy differs wholly; half precision itself differs by a few thousandths.
HALF_PRECISION_TOLERANCE = 0.05


def samples(signature: Signature, verify: Any, calibration: Arrays | None) -> tuple[Arrays, Any]:
    """Returns what to compare on: `verify`, else the calibration samples, else random inputs.

    The `y` of `verify=(x, y)` comes second, `None` without it. Random inputs lie outside the ranges
    of a quantised file: its samples must have been asked for before.

    Raises:
        ValueError: If `verify` does not fit the model's inputs, or is needed.
        TypeError: If it is not numeric.
    """
    if verify is not None:
        return read(signature, verify, "verify")
    arrays = signature.generated(GENERATED_SAMPLES) if calibration is None else calibration
    return arrays, None


def reference(
    signature: Signature, original: keras.Model, arrays: Arrays, what: str = "samples compared"
) -> Arrays:
    """Returns the Keras model's answers by output name, which an export is to give, too.

    Args:
        signature: Holds the exported model: `original`, or its float32 copy.
        original: The caller's model.
        arrays: The samples.
        what: What the samples are, for errors.

    Raises:
        ValueError: If the Keras model itself fails on the samples, or gives no finite answers.
        VerificationError: If the float32 copy disagrees with the original.
    """
    try:
        expected = signature.predict(arrays)
    except Exception as error:
        ranges = [f"{name!r} from {x.min():g} to {x.max():g}" for name, x in arrays.items()]
        raise refusal(
            f"The Keras model must be able to answer the {what}",
            expected="values that it takes, e.g. ids within the vocabulary",
            received=f"{', '.join(ranges)}, and the error: {error}",
            mend="Pass samples on which model.predict works",
        ) from error
    if not all(np.isfinite(array).all() for array in expected.values()):
        raise refusal(
            f"The Keras model must give finite outputs on the {what}",
            received=_spoilt(signature.student, expected),
            mend="Train the model without NaN, or pass samples that it can answer",
        )
    if signature.student is not original:
        own = Signature(original, signature.inputs, signature.batch_size).predict(arrays)
        # In inference it computes what the file does; the copy holds what the converter reads.
        if "quantize" in methods(original):
            return own
        require_close(compare(own, expected), HALF_PRECISION_TOLERANCE, "The float32 copy")
    return expected


def _spoilt(model: keras.Model, answers: Arrays) -> str:
    """Says which weights are not finite, or else which outputs."""
    weights = {x.path: keras.ops.convert_to_numpy(x) for x in model.weights}
    found = [name for name, array in weights.items() if not _is_finite(array)]
    if found:
        return f"NaN or infinite values in {len(found)} of its weights, first in {found[0]!r}"
    names = [name for name, array in answers.items() if not _is_finite(array)]
    return f"NaN or infinite values in {names}, from finite weights"


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
