"""The best student so far, as a file for the phone."""

import dataclasses
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_kd import export
from keras_kd._errors import refusal, wrong
from keras_kd.callbacks.monitoring import BestEpoch
from keras_kd.export import publishing
from keras_kd.export.options import SavedModelOptions, TFLiteOptions
from keras_kd.export.saved_model import check as check_saved_model
from keras_kd.export.tflite import check as check_tflite

__all__ = ["ExportBest"]


class ExportBest(BestEpoch):
    """Exports the student after each epoch that is better than all before.

    The file at `path` is always a whole and checked one: the best so far. An export that fails ends
    the training with its error. Epochs without a finite value of `monitor`, e.g. those that
    `validation_freq` leaves out, are passed over.

    Beside it, `<path>.best.json` holds the best value. A training that goes on after epoch 0, e.g.
    restarted with `BackupAndRestore`, takes it up; one from epoch 0 on begins anew.

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
        report: The `export.Report` of its file, or `None` before an export of this training.

    Raises:
        ValueError: If `path` is none for it, `mode` is unknown or cannot be told, samples can be
            read only once, or an option is wrong for every model; at the start of `fit`, if `path`
            cannot be written, or an option or the samples do not fit the student; and during
            training, if the logs never hold `monitor` or an export is refused.
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
        is_file = str(path).lower().endswith(".tflite")
        target = publishing.file_target if is_file else publishing.folder_target
        super().__init__(path, target, monitor, mode, initial_value_threshold)
        self._export = export.tflite if is_file else export.saved_model
        self._check = check_tflite if is_file else check_saved_model
        _check_options(TFLiteOptions if is_file else SavedModelOptions, self.path, options)
        self._options, self._has_checked = options, False
        self.report: export.Report | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Looks whether the student can be exported so; the samples are read for that.

        Raises:
            ValueError: If `path` cannot be written, or an option does not fit the student.
            TypeError: If samples are of the wrong kind.
        """
        super().on_train_begin(logs)
        self._has_checked = False
        if getattr(self.model, "student", self.model).built:
            self._look()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at a model that the first batch has built."""
        if not self._has_checked:
            self._look()

    def _look(self) -> None:
        self._has_checked = True
        with warnings.catch_warnings():  # the export warns when it comes to it
            warnings.simplefilter("ignore")
            self._check(self.model, **self._options)

    def keep(self) -> None:
        """Exports the student."""
        self.report = self._export(self.model, self.path, **self._options)


def _check_options(kind: type, path: Path, options: dict[str, Any]) -> None:
    """Raises where an option is wrong for every model, or none of the export that `path` means."""
    known = [field.name for field in dataclasses.fields(kind)]
    if unknown := sorted(options.keys() - known):
        function = "tflite" if kind is TFLiteOptions else "saved_model"
        raise refusal(
            f"The options must be those of keras_kd.export.{function}",
            expected=f"some of {known}",
            received=f"path={str(path)!r} and the argument {unknown[0]!r}",
            mend="Correct the name; a path that ends in .tflite makes a TFLite file, any other "
            "a SavedModel",
            error=TypeError,
        )
    for name in ("calibration", "verify"):
        if isinstance(options.get(name), Iterator):
            rule = "be samples that can be read more than once"
            expected = "arrays, a dataset, or a function that returns a generator"
            mend = "Pass the function itself"
            raise wrong(name, rule, options[name], expected=expected, mend=mend)
    kind(**options)
