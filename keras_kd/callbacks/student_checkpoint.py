"""The best student so far, as Keras' own file."""

import os

from keras_kd import _files
from keras_kd._errors import wrong
from keras_kd.callbacks.monitoring import BestEpoch
from keras_kd.distiller.distiller import Distiller
from keras_kd.export import placing, publishing

__all__ = ["StudentCheckpoint"]

_WEIGHTS = ".weights.h5"


class StudentCheckpoint(BestEpoch):
    """Saves the student alone after each epoch that is better than all before.

    `keras.callbacks.ModelCheckpoint` would save the whole Distiller. The file is a plain Keras
    model, which loads without keras_kd, and always a whole one: it is written beside `path` and
    takes its name when it is finished, so a training that is killed leaves the best before it.
    Beside it, `<path>.best.json` holds the best value. A training that goes on after epoch 0, e.g.
    restarted with `BackupAndRestore`, takes it up; one from epoch 0 on begins anew.

    Args:
        path: The file to write: a model where it ends in `.keras`, weights where it ends in
            `.weights.h5`.
        monitor: The entry of the logs to compare.
        mode: `"min"`, `"max"`, or `"auto"` to tell from the words of the name: losses and errors
            fall, accuracy and the like rise.
        initial_value_threshold: What is to be exceeded first, e.g. the best of a run before.

    Attributes:
        best: The best value so far, or `None`.
        epoch: Its epoch, or `None`.

    Raises:
        TypeError: If `path` is not a path.
        ValueError: If `path` ends otherwise, or lies in no folder; at the start of `fit`, if that
            folder cannot be written; and if the logs do not hold `monitor`.

    Example:
    ```python
    best = keras_kd.callbacks.StudentCheckpoint("student.keras", monitor="val_accuracy")
    distiller.fit(x_train, y_train, validation_data=(x_val, y_val), callbacks=[best])
    student = keras.saving.load_model("student.keras")
    ```
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        mode: str = "auto",
        initial_value_threshold: float | None = None,
    ):
        if not str(path).endswith((".keras", _WEIGHTS)) and isinstance(path, str | os.PathLike):
            rule = "say by its ending what is saved"
            expected = f".keras for the model, {_WEIGHTS} for its weights"
            mend = "Use keras_kd.callbacks.ExportBest for .tflite files and SavedModels"
            raise wrong("path", rule, str(path), expected=expected, mend=mend)
        super().__init__(path, publishing.keras_target, monitor, mode, initial_value_threshold)

    def keep(self) -> None:
        """Saves the student."""
        model = self.model
        student = model.student if isinstance(model, Distiller) else model
        with placing.workspace(self.path) as folder:
            new = folder / self.path.name
            if self.path.name.endswith(_WEIGHTS):
                student.save_weights(new)
            else:
                student.save(new)
            _files.put(new, self.path)
