"""The ways to quantise a TFLite file: each fact about a mode stands here, once."""

from dataclasses import dataclass

from keras_kd._errors import message


@dataclass(frozen=True)
class Mode:
    """What the converter needs for one mode, and what its file is measured against.

    Args:
        tolerance: Relative RMS error allowed against the Keras model.
        weight_bytes: Bytes that one weight takes in the file.
        ops: Name of the only `tf.lite.OpsSet` that the converter may use.
        calibrated: Whether the converter needs samples to find the range of each tensor. The file
            is then checked on samples too: random inputs lie outside the ranges found.
        io_dtypes: What the file's float inputs and outputs may become, the default first. Empty
            where there is no choice.
    """

    tolerance: float
    weight_bytes: int
    ops: str
    calibrated: bool = False
    io_dtypes: tuple[str, ...] = ()


MODES = {
    "float32": Mode(tolerance=1e-4, weight_bytes=4, ops="TFLITE_BUILTINS"),
    "int8": Mode(
        tolerance=0.15,
        weight_bytes=1,
        ops="TFLITE_BUILTINS_INT8",
        calibrated=True,
        io_dtypes=("int8", "uint8", "float32"),
    ),
}


def mode_of(quantization: str) -> Mode:
    """Looks `quantization` up in `MODES`.

    Raises:
        ValueError: If it is not there.
    """
    if isinstance(quantization, str) and quantization in MODES:
        return MODES[quantization]
    raise ValueError(
        message(
            "quantization must be a known mode",
            expected=f"one of {', '.join(map(repr, MODES))}",
            received=repr(quantization),
            mend="Choose one of them",
        )
    )


def io_dtype_of(mode: Mode, io_dtype: str | None) -> str | None:
    """Returns the dtype that the file's float inputs and outputs become, or None for no change.

    Raises:
        ValueError: If the mode does not know `io_dtype`, or leaves no choice.
    """
    if io_dtype is None:
        return mode.io_dtypes[0] if mode.io_dtypes else None
    if isinstance(io_dtype, str) and io_dtype in mode.io_dtypes:
        return io_dtype
    choices = ", ".join(map(repr, mode.io_dtypes))
    raise ValueError(
        message(
            "io_dtype must suit the quantization",
            expected=f"None or one of {choices}" if choices else "None, as this mode is float",
            received=repr(io_dtype),
            mend="Choose one of them" if choices else "Leave io_dtype out",
        )
    )
