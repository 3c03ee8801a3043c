"""What may happen between the epochs of a distillation."""

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from keras_kd import _keras, export
from keras_kd._errors import message
from keras_kd.export import placing

_RISING = ("acc", "auc", "agreement", "precision", "recall", "f1", "iou")
_FALLING = ("loss", "error")


class ExportBest(keras.callbacks.Callback):
    """Exports the student after each epoch that is better than all before.

    The file at `path` is always a whole and checked one: the best so far. An export that fails ends
    the training with its error.

    Args:
        path: The file to write, if it ends in `.tflite`; otherwise the folder of a SavedModel.
        monitor: The entry of the logs to compare.
        mode: `"min"`, `"max"`, or `"auto"` to tell from the name: losses and errors fall, accuracy
            and the like rise.
        initial_value_threshold: What is to be exceeded first, e.g. the best of a run before.
        **options: Further arguments of `export.tflite` or `export.saved_model`.

    Attributes:
        best: The best value so far, or `None`.
        epoch: Its epoch, or `None`.
        report: The `export.Report` of its file, or `None`.

    Raises:
        ValueError: If `path` cannot be written, `mode` is unknown or cannot be told, samples can be
            read only once; and during training, if the logs lack `monitor` or an export is refused.
        TypeError: If an option is unknown.

    Example:
    ```python
    best = keras_kd.callbacks.ExportBest(
        "student.tflite", monitor="val_accuracy", quantization="int8", calibration=x_train[:200]
    )
    distiller.fit(x_train, y_train, validation_data=(x_val, y_val), callbacks=[best])
    print(best.epoch, best.report)
    ```
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        mode: str = "auto",
        initial_value_threshold: float | None = None,
        **options: Any,
    ):
        super().__init__()
        is_file = isinstance(path, str | os.PathLike) and Path(path).suffix == ".tflite"
        self.path = placing.file_target(path) if is_file else placing.folder_target(path)
        self._export = export.tflite if is_file else export.saved_model
        inspect.signature(self._export).bind(None, path, **options)
        _check_readable_again(options)
        self.monitor, self._rises = monitor, _rises(monitor, mode)
        self.best, self._options = initial_value_threshold, options
        self.epoch: int | None = None
        self.report: export.Report | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Exports the student if it is better."""
        value = self._value(logs or {})
        if self.best is None or (value > self.best if self._rises else value < self.best):
            _keras.up_to_date(self.model)
            self.report = self._export(self.model, self.path, **self._options)
            self.best, self.epoch = value, epoch

    def _value(self, logs: dict[str, Any]) -> float:
        if self.monitor in logs:
            return float(logs[self.monitor])
        raise ValueError(
            message(
                "monitor must be in the logs",
                expected=f"one of {sorted(logs)}",
                received=repr(self.monitor),
                mend="Pass validation_data to fit for values that begin with val_",
            )
        )


def _rises(monitor: str, mode: str) -> bool:
    if mode in ("min", "max"):
        return mode == "max"
    name = str(monitor).lower()
    rising, falling = (any(part in name for part in parts) for parts in (_RISING, _FALLING))
    if mode != "auto" or rising == falling:
        raise ValueError(
            message(
                "mode must say what is better",
                expected="'min' or 'max', or 'auto' for a name that tells",
                received=f"{mode!r} for monitor={monitor!r}",
                mend="Pass mode='min' or mode='max'",
            )
        )
    return rising


def _check_readable_again(options: dict[str, Any]) -> None:
    for name in ("calibration", "verify"):
        if isinstance(options.get(name), Iterator):
            raise ValueError(
                message(
                    f"{name} must be samples that can be read more than once",
                    expected="arrays, a dataset, or a function that returns a generator",
                    received=type(options[name]).__name__,
                    mend="Pass the function itself",
                )
            )
