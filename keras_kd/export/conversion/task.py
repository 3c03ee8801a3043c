"""What the converter's process is asked to do, as both sides of the pipe read it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import keras

from keras_kd import _keras
from keras_kd.export.student.signature import Signature

__all__ = ["Task"]

_FILE = "task.json"


@dataclass(frozen=True)
class Task:
    """One conversion, in a folder that holds the student.

    Args:
        quantization: A key of `modes.MODES`, or `None` to write the SavedModel only.
        io_dtype: Dtype of float inputs and outputs, `None` for no change.
        batch_size: Samples in one invocation, `None` for any number.
        inputs: The inputs' names, in the order of the calibration arrays.
        calibrated: Whether calibration samples are there.
        modules: Modules to import before the student is loaded, for its own layers.
    """

    quantization: str | None
    io_dtype: str | None
    batch_size: int | None
    inputs: list[str]
    calibrated: bool
    modules: list[str]

    @classmethod
    def of(
        cls,
        signature: Signature,
        quantization: str | None = None,
        io_dtype: str | None = None,
        calibrated: bool = False,
    ) -> "Task":
        """Takes from the signature what the other process is to know of it."""
        names = [tensor.name for tensor in signature.inputs]
        modules = _modules(signature.student)
        return cls(quantization, io_dtype, signature.batch_size, names, calibrated, modules)

    @classmethod
    def read(cls, folder: Path) -> "Task":
        """Reads what `write` has written."""
        return cls(**json.loads((folder / _FILE).read_text()))

    def write(self, folder: Path) -> None:
        """Puts the task into its folder."""
        (folder / _FILE).write_text(json.dumps(asdict(self)))


def _modules(student: keras.Model) -> list[str]:
    names = {type(layer).__module__ for layer in _keras.all_layers(student)}
    return sorted(name for name in names if name.split(".")[0] not in ("keras", "__main__"))
