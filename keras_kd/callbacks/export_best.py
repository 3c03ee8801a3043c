"""What may happen between the epochs of a distillation."""

import inspect
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from keras_kd import _keras, export
from keras_kd._errors import check_number, message
from keras_kd.export import publishing, requests

_RISING = {"acc", "accuracy", "auc", "agreement", "precision", "recall", "f1", "iou"}
_FALLING = {"loss", "error", "mae", "mse", "rmse", "divergence", "crossentropy"}


class ExportBest(keras.callbacks.Callback):
    """Exports the student after each epoch that is better than all before.

    The file at `path` is always a whole and checked one: the best so far. An export that fails ends
    the training with its error. Epochs without a finite value of `monitor`, e.g. those that
    `validation_freq` leaves out, are passed over.

    Args:
        path: The file to write, if it ends in `.tflite`; otherwise the folder of a SavedModel.
        monitor: The entry of the logs to compare.
        mode: `"min"`, `"max"`, or `"auto"` to tell from the words of the name: losses and errors
            fall, accuracy and the like rise.
        initial_value_threshold: What is to be exceeded first, e.g. the best of a run before.
        **options: Further arguments of `export.tflite` or `export.saved_model`.

    Attributes:
        best: The best value so far, or `None`.
        epoch: Its epoch, or `None`.
        report: The `export.Report` of its file, or `None`.

    Raises:
        ValueError: If `path` cannot be written, `mode` is unknown or cannot be told, samples can be
            read only once, or an option is wrong for every model; and during training, if the logs
            never hold `monitor` or an export is refused.
        TypeError: If an option is unknown, or an argument of the wrong kind.

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
        is_file = _names_tflite(path)
        self.path = publishing.file_target(path) if is_file else publishing.folder_target(path)
        self._export = export.tflite if is_file else export.saved_model
        _check_options(self._export, path, options)
        _check_readable_again(options)
        requests.check_without_model(**options)
        self.monitor, self._rises = monitor, _rises(monitor, mode)
        self._options, self._seen, self._had_value = options, False, False
        self.best: float | None = None
        if initial_value_threshold is not None:
            rule = "of either sign"
            self.best = check_number("initial_value_threshold", initial_value_threshold, rule)
        self.epoch: int | None = None
        self.report: export.Report | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forgets which values an earlier training had."""
        self._seen = self._had_value = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Exports the student if it is better."""
        logs = logs or {}
        self._seen = self._seen or self.monitor in logs
        validated = any(name.startswith("val_") for name in logs)
        if validated or not self.monitor.startswith("val_"):
            self._require_seen(logs)
        value = float(logs.get(self.monitor, math.nan))
        if not math.isfinite(value):
            return
        self._had_value = True
        if self.best is None or (value > self.best if self._rises else value < self.best):
            _keras.up_to_date(self.model)
            self.report = self._export(self.model, self.path, **self._options)
            self.best, self.epoch = value, epoch

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Refuses a training that never had the value, and warns of one whose value never was."""
        self._require_seen(logs or {})
        if not self._had_value:
            warnings.warn(
                f"ExportBest exported nothing: {self.monitor!r} was NaN or Inf in all epochs.",
                stacklevel=2,
            )

    def _require_seen(self, logs: dict[str, Any]) -> None:
        if self._seen:
            return
        raise ValueError(
            message(
                "monitor must be in the logs",
                expected=f"one of {sorted(logs)}",
                received=repr(self.monitor),
                mend="Pass validation_data to fit for values that begin with val_",
            )
        )


def _names_tflite(path: Any) -> bool:
    """Whether a path names a file, not the folder of a SavedModel.

    Raises:
        ValueError: If it names a file of another kind.
    """
    suffix = Path(path).suffix.lower() if isinstance(path, str | os.PathLike) else ""
    if suffix in (".keras", ".h5"):
        raise ValueError(
            message(
                "path must name what is exported",
                expected="a file that ends in .tflite, or a folder for a SavedModel",
                received=repr(path),
                mend="Use keras.callbacks.ModelCheckpoint for Keras' own files",
            )
        )
    return suffix == ".tflite"


def _check_options(exporting: Callable, path: Any, options: dict[str, Any]) -> None:
    """Raises where an option is none of the export that the path's ending stands for."""
    signature = inspect.signature(exporting)
    try:
        signature.bind(None, path, **options)
    except TypeError as error:
        raise TypeError(
            message(
                f"The options must be those of keras_kd.export.{exporting.__name__}",
                expected=f"some of {list(signature.parameters)[2:]}",
                received=f"path={str(path)!r}, and {error}",
                mend="Correct the name; a path that ends in .tflite makes a TFLite file, any other "
                "a SavedModel",
            )
        ) from error


def _rises(monitor: str, mode: str) -> bool:
    if not isinstance(monitor, str):
        raise TypeError(
            message(
                "monitor must name an entry of the logs",
                expected="a str",
                received=repr(monitor),
                mend="Pass e.g. monitor='val_accuracy'",
            )
        )
    if mode in ("min", "max"):
        return mode == "max"
    words = set(re.split(r"[^a-z0-9]+", monitor.lower()))
    rising, falling = bool(words & _RISING), bool(words & _FALLING)
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
