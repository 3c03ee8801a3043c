"""What an export was asked for: records that check themselves, as far as no model is needed."""

from dataclasses import dataclass
from typing import Any

from keras_kd._errors import check_integer, wrong
from keras_kd.export.conversion.modes import Mode, io_dtype_of, mode_of
from keras_kd.export.verification import accuracy
from keras_kd.export.verification.verify import check_tolerance

__all__ = ["ADVISED_SAMPLES", "SavedModelOptions", "TFLiteOptions"]

ADVISED_SAMPLES = 100


@dataclass(frozen=True)
class TFLiteOptions:
    """The options of `tflite`, which explains them.

    Raises:
        ValueError: If one of them is wrong for every model.
        TypeError: If it is of the wrong kind.
    """

    quantization: str = "float32"
    calibration: Any = None
    batch_size: int | None = 1
    io_dtype: str | None = None
    labels: Any = None
    normalization: Any = None
    verify: Any = None
    tolerance: float | None = None
    max_accuracy_drop: float | None = None

    def __post_init__(self) -> None:
        mode = mode_of(self.quantization)
        io_dtype_of(mode, self.io_dtype)
        check_tolerance(self.tolerance, mode.tolerance)
        check_integer("batch_size", self.batch_size, 1, optional=True, example=1)
        accuracy.check_drop(self.max_accuracy_drop, self.verify)
        # A quantisation-aware student may bring the ranges instead.
        if mode.calibrated and self.calibration is None and not mode.ranges_from_student:
            raise self.uncalibrated()

    @property
    def mode(self) -> Mode:
        """The facts about the quantization."""
        return mode_of(self.quantization)

    @property
    def file_dtype(self) -> str | None:
        """What float inputs and outputs become in the file, `None` for no change."""
        return io_dtype_of(self.mode, self.io_dtype)

    def uncalibrated(self, otherwise: str = "") -> Exception:
        """Returns the error for samples that are missing.

        Args:
            otherwise: What would do, too.
        """
        return wrong(
            "calibration",
            f"be given for quantization={self.quantization!r}{otherwise}",
            self.calibration,
            expected=f"{ADVISED_SAMPLES} or more samples like those in use",
            mend="Pass calibration=x_train[:200]",
        )


@dataclass(frozen=True)
class SavedModelOptions:
    """The options of `saved_model`, which explains them.

    Raises:
        ValueError: If one of them is wrong for every model.
        TypeError: If it is of the wrong kind.
    """

    verify: Any = None
    tolerance: float | None = None

    default_tolerance = 1e-5

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance, self.default_tolerance)
