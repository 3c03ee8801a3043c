"""What must and must not be in a `.tflite` file, seen without running it."""

import math
from collections.abc import Sequence
from typing import Any

from keras_kd._errors import message
from keras_kd.export.conversion import serving
from keras_kd.export.student.signature import Signature
from keras_kd.export.verification.verify import VerificationError

__all__ = ["require_plain_operators", "require_quantized", "require_weights"]


def require_plain_operators(operators: dict[str, int]) -> None:
    """Refuses operators that plain LiteRT cannot run.

    Raises:
        VerificationError: If there are custom operators; TensorFlow's own begin with `Flex`.
    """
    custom = [name for name in operators if name.startswith("CUSTOM ")]
    if custom:
        raise VerificationError(
            message(
                "The file must hold built-in operators only",
                received=", ".join(custom),
                mend="Replace the layers that need them",
            )
        )


def require_quantized(
    float_operators: dict[str, int], ends: dict[str, str], io_dtype: str | None
) -> None:
    """Refuses a file that stayed float in part because its student lacked the ranges.

    Args:
        float_operators: Operators that compute in float.
        ends: The dtypes of inputs and outputs by name.
        io_dtype: What float ones were to become.

    Raises:
        VerificationError: If there are float operators, or other floats than `io_dtype` at an end.
    """
    found = [f"{operator} {count}" for operator, count in float_operators.items()]
    found += [f"{x} {dtype}" for x, dtype in ends.items() if dtype == "float32" != io_dtype]
    if found:
        raise VerificationError(
            message(
                "A quantisation-aware student must bring every tensor's range; no file was left",
                expected="whole numbers throughout, as quantization says",
                received=f"floats in {', '.join(found)}",
                mend="Pass calibration=x_train[:200], which finds the missing ranges",
            )
        )


def require_weights(signature: Signature, size: int, weight_bytes: int) -> None:
    """Refuses a file that is too small to hold the student's weights.

    Only matrices and kernels count, as vectors may be folded into them, and a tenth of them
    suffices, as constants may be cut (a table of positions) or shared.

    Raises:
        VerificationError: If `size` is less than that.
    """
    kernels = _in_kernels(signature.student.weights)
    if size < 0.1 * kernels * weight_bytes:  # some may serve in training only
        kernels = _in_kernels(serving.used_weights(signature))
    if size >= 0.1 * kernels * weight_bytes:
        return
    raise VerificationError(
        message(
            "The file must hold the model's weights",
            expected=f"about {kernels * weight_bytes} bytes",
            received=f"{size} bytes",
            mend="Report the model: its export is wrong",
        )
    )


def _in_kernels(weights: Sequence[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights if len(weight.shape) > 1)
