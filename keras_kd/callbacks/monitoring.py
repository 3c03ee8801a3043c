"""What the epochs of a training are compared by: an entry of the logs, and which way is better."""

import difflib
import json
import math
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras

from keras_kd import _files, _keras
from keras_kd._errors import check_number, check_type, refusal, wrong
from keras_kd.distiller import multi_worker
from keras_kd.distiller.distiller import Distiller
from keras_kd.export import placing

__all__ = [
    "BestEpoch",
    "check_distils",
    "check_will_be_logged",
    "closest",
    "is_logged",
    "rises",
]

_RISING = {"acc", "accuracy", "auc", "agreement", "precision", "recall", "f1", "iou"}
# What `TeacherAgreement` adds to the logs.
_OBSERVED = ("teacher_agreement", "teacher_kl", "calibration_error")
_FALLING = {"loss", "error", "mae", "mse", "rmse", "divergence", "crossentropy", "kl"}


class BestEpoch(keras.callbacks.Callback, ABC):
    """Keeps something of each epoch that is better than all before.

    Epochs without a finite value of `monitor`, e.g. those that `validation_freq` leaves out, are
    passed over.

    The best value stands in a small JSON file beside what is kept, `path` with `.best.json` after
    it. A training that goes on, so that its first epoch is not 0, takes it up: after a restart with
    `BackupAndRestore` a worse epoch does not replace the best. One from epoch 0 on begins anew.

    Args:
        path: Where it is kept.
        target: Returns `path` as an absolute place, or raises where nothing can be kept there.
        monitor: The entry of the logs to compare.
        mode: `"min"`, `"max"`, or `"auto"` to tell from the words of the name: losses and errors
            fall, accuracy and the like rise.
        initial_value_threshold: What is to be exceeded first, e.g. the best of a run before.

    Attributes:
        path: The place.
        best: The best value so far, or `None`.
        epoch: Its epoch, or `None`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        target: Callable[[str | os.PathLike[str]], Path],
        monitor: str,
        mode: str,
        initial_value_threshold: float | None,
    ):
        super().__init__()
        if re.search(r"\{.*\}", str(path)):
            mend = "Use keras.callbacks.ModelCheckpoint for a file of each epoch"
            raise wrong("path", "be one path, where the best epoch stands", str(path), mend=mend)
        self.path, self._target = target(path), target
        self.monitor, self._rises = monitor, rises(monitor, mode)
        self._seen = self._had_value = self._has_begun = False
        self.best: float | None = None
        if initial_value_threshold is not None:
            rule = "of either sign"
            self.best = check_number("initial_value_threshold", initial_value_threshold, rule)
        self.epoch: int | None = None

    @abstractmethod
    def keep(self) -> None:
        """Keeps what the model is now."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forgets which values an earlier training had, and looks whether anything can be kept.

        Raises:
            ValueError: If it is certain that the logs will not hold `monitor`, or `path` cannot be
                written.
        """
        self._seen = self._had_value = self._has_begun = False
        check_will_be_logged(self.monitor, self.model)
        self._target(self.path)  # its folder may have gone since
        with placing.workspace(self.path):
            pass

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Takes up what the training before has noted, where this one goes on with it."""
        # Only now it is known: BackupAndRestore tells the first epoch when the training begins.
        if not self._has_begun and self.epoch is None:
            if epoch > 0:
                self._take_up()
            elif multi_worker.is_chief(self.model):
                self._record.unlink(missing_ok=True)
        self._has_begun = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps the epoch if it is better."""
        logs = logs or {}
        self._seen = self._seen or is_logged(self.monitor, logs)
        value = float(logs.get(self.monitor, math.nan))
        if not math.isfinite(value):
            return
        self._had_value = True
        if self._is_best(value):
            _keras.up_to_date(self.model)
            if multi_worker.is_chief(self.model):
                self.keep()
                self._note(value, epoch)
            self.best, self.epoch = value, epoch

    def _is_best(self, value: float) -> bool:
        return self.best is None or (value > self.best if self._rises else value < self.best)

    @property
    def _record(self) -> Path:
        return self.path.with_name(f"{self.path.name}.best.json")

    @property
    def _compared(self) -> dict[str, str]:
        return {"monitor": self.monitor, "mode": "max" if self._rises else "min"}

    def _note(self, value: float, epoch: int) -> None:
        noted = json.dumps({**self._compared, "value": value, "epoch": epoch})
        with placing.workspace(self._record) as folder:
            _files.write(folder / self._record.name, noted.encode())
            _files.put(folder / self._record.name, self._record)

    def _take_up(self) -> None:
        if not (self.path.exists() and self._record.exists()):
            return
        try:
            noted = json.loads(self._record.read_bytes())
            value, epoch = float(noted["value"]), int(noted["epoch"])
        except (ValueError, TypeError, KeyError) as error:
            raise refusal(
                f"{self._record} must be as {type(self).__name__} wrote it",
                received=f"another content ({type(error).__name__}: {error})",
                mend="Delete it, so that the next epoch counts as the best",
            ) from error
        if noted.items() >= self._compared.items() and self._is_best(value):
            self.best, self.epoch = value, epoch

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Refuses a training that never had the value, and warns of one whose value never was."""
        if not logs:
            return  # no epoch was left to train
        if not self._seen:
            raise _missing(self.monitor, logs)
        if not self._had_value:
            warnings.warn(
                f"{type(self).__name__} kept nothing: {self.monitor!r} was NaN or Inf in all "
                "epochs.",
                stacklevel=2,
            )


def check_distils(callback: str, model: Any, mend: str) -> None:
    """Raises where a callback that needs a Distiller is given to the fit of another model.

    Raises:
        TypeError: If it is.
    """
    rule = "be given to the fit of a Distiller"
    check_type(callback, model, Distiller, rule, expected="keras_kd.Distiller", mend=mend)


def check_will_be_logged(monitor: str, model: Any) -> None:
    """Raises where it is certain, before the first step, that the logs will not hold an entry.

    That is so in the `fit` of a Distiller with callbacks of Keras and keras_kd only.

    Raises:
        ValueError: If the logs will not hold it.
    """
    facts = getattr(model, "fit_facts", None)
    if facts is None or facts.foreign:
        return
    own = monitor.removeprefix("val_")
    of_training, of_validation, of_callbacks = _columns(model)
    known = of_validation if monitor != own else of_training | of_callbacks
    # Keras puts the names of outputs before those of metrics.
    several = len(model.student_heads) > 1
    could_be = own in known or (several and any(own.endswith(f"_{name}") for name in known))
    offered = of_training | {f"val_{name}" for name in of_validation if facts.validates}
    mend = f"Pass e.g. monitor={closest(monitor, offered)!r}"
    if monitor != own and not facts.validates:
        could_be, mend = False, "Pass validation_data to fit for values that begin with val_"
    elif own in _OBSERVED and not model.observers:
        mend = f"Give TeacherAgreement() to fit, too, and monitor 'val_{own}'"
    if not could_be:
        raise _missing(monitor, offered, mend)


def _columns(model: Any) -> tuple[set[str], set[str], set[str]]:
    """Returns what training logs, what validation does (without val_), and what callbacks may."""
    terms = {term.name for term in model.terms}
    metrics = {
        str(getattr(metric, "name", getattr(metric, "__name__", metric)))
        for metric in _keras.compiled_metrics(model)
    }
    metrics |= set(model.metrics_names) - {"compile_metrics"}  # those of the student's layers
    observed = {name for observer in model.observers for name in observer.result()}
    hard = {"hard_loss"} if model.loss is not None else set()
    held_out = {"loss"} | metrics | observed | (terms if model.evaluates_terms else set())
    of_callbacks = {"learning_rate", "distils"} | _columns_of_settings(model)
    return {"loss"} | hard | terms | metrics, held_out, of_callbacks


def _columns_of_settings(model: Distiller) -> set[str]:
    """Returns what `Schedule` and `temperature="auto"` log while there are terms."""
    names = {name for term in model.terms for name in (term.name, term.output_name)}
    of_terms = {f"{name}_{what}" for name in names for what in ("weight", "temperature")}
    return {"alpha", "temperature", "hard_weight"} | of_terms


def closest(given: Any, names: Iterable[str]) -> str:
    """Returns the name that is most like what was given."""
    return max(names, key=lambda name: difflib.SequenceMatcher(None, str(given), name).ratio())


def is_logged(monitor: str, logs: dict[str, Any]) -> bool:
    """Whether the logs of an epoch hold an entry; not, where they lack all of a validation.

    Raises:
        ValueError: If they hold the others.
    """
    validated = any(name.startswith("val_") for name in logs)
    if monitor not in logs and (validated or not monitor.startswith("val_")):
        raise _missing(monitor, logs)
    return monitor in logs


def _missing(
    monitor: str,
    names: Iterable[str],
    mend: str = "Pass validation_data to fit for values that begin with val_",
) -> Exception:
    expected = f"one of {sorted(names)}"
    return wrong("monitor", "be in the logs", monitor, expected=expected, mend=mend)


def rises(monitor: str, mode: str) -> bool:
    """Returns whether an entry of the logs is better when it is larger.

    Raises:
        TypeError: If `monitor` is not a name.
        ValueError: If `mode` is unknown, or `"auto"` and the name does not tell.
    """
    rule = "name an entry of the logs"
    check_type("monitor", monitor, str, rule, expected="a str", example="val_accuracy")
    if mode in ("min", "max"):
        return mode == "max"
    words = set(re.split(r"[^a-z0-9]+", monitor.lower()))
    rising, falling = bool(words & _RISING), bool(words & _FALLING)
    if mode != "auto" or rising == falling:
        raise refusal(
            "mode must say what is better",
            expected="'min' or 'max', or 'auto' for a name that tells",
            received=f"{mode!r} for monitor={monitor!r}",
            mend="Pass mode='min' or mode='max'",
        )
    return rising
