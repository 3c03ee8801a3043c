"""The ways to quantise a TFLite file: each fact about a mode stands here, once."""

from dataclasses import dataclass

from keras_kd._errors import check_choice, wrong

__all__ = ["MODES", "Mode", "io_dtype_of", "mode_of"]

_SUIT = "suit the quantization"


@dataclass(frozen=True)
class Mode:
    """What the converter needs for one mode, and what its file is measured against.

    Args:
        tolerance: Relative RMS error allowed against the Keras model.
        weight_bytes: Bytes that one weight takes in the file.
        ops: Names of the `tf.lite.OpsSet`s that the converter may use, the preferred first.
        optimized: Whether the converter may store weights in fewer bytes.
        weight_type: Name of the only dtype for weights, where the converter is to be told.
        calibrated: Whether the converter needs samples to find the range of each tensor. The file
            is then checked on samples too: random inputs lie outside the ranges found.
        ranges_from_student: Whether a quantisation-aware student can give the ranges instead.
        without_squared_difference: Whether that operator has to be written otherwise.
        float_inputs_only: Whether the quantiser fails on inputs of whole numbers.
        is_wide: Whether it computes in 16 bits, not in 8.
        io_dtypes: What the file's float inputs and outputs may become, the default first. Empty
            where there is no choice.
    """

    tolerance: float
    weight_bytes: int
    ops: tuple[str, ...] = ("TFLITE_BUILTINS",)
    optimized: bool = True
    weight_type: str | None = None
    calibrated: bool = False
    ranges_from_student: bool = False
    without_squared_difference: bool = False
    float_inputs_only: bool = False
    is_wide: bool = False
    io_dtypes: tuple[str, ...] = ()


MODES = {
    "float32": Mode(tolerance=1e-4, weight_bytes=4, optimized=False),
    "float16": Mode(tolerance=1e-2, weight_bytes=2, weight_type="float16"),
    "dynamic": Mode(tolerance=0.05, weight_bytes=1),
    "int8": Mode(
        tolerance=0.15,
        weight_bytes=1,
        ops=("TFLITE_BUILTINS_INT8",),
        calibrated=True,
        ranges_from_student=True,
        io_dtypes=("int8", "uint8", "float32"),
    ),
    "int16x8": Mode(
        tolerance=0.05,
        weight_bytes=1,
        # Few operators have 16-bit kernels; the others stay in float, and the report names them.
        ops=(
            "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
            "TFLITE_BUILTINS",
        ),
        calibrated=True,
        without_squared_difference=True,
        float_inputs_only=True,
        is_wide=True,
        io_dtypes=("int16", "float32"),
    ),
}


def mode_of(quantization: str) -> Mode:
    """Looks `quantization` up in `MODES`.

    Raises:
        ValueError: If it is not there.
    """
    return MODES[check_choice("quantization", quantization, MODES, "be a known mode")]


def io_dtype_of(mode: Mode, io_dtype: str | None) -> str | None:
    """Returns the dtype that the file's float inputs and outputs become, or None for no change.

    Raises:
        ValueError: If the mode does not know `io_dtype`, or leaves no choice.
    """
    if io_dtype is None:
        return mode.io_dtypes[0] if mode.io_dtypes else None
    if not mode.io_dtypes:
        expected = "None, as this mode is float"
        raise wrong("io_dtype", _SUIT, io_dtype, expected=expected, mend="Leave io_dtype out")
    return check_choice("io_dtype", io_dtype, mode.io_dtypes, _SUIT)
