"""The end of the soft terms: the student goes on with its labels alone."""

import math
from typing import Any

import keras

from keras_kd._errors import check_count, check_number, refusal
from keras_kd.callbacks.monitoring import check_distils, check_will_be_logged, is_logged, rises

__all__ = ["EndDistillation"]


class EndDistillation(keras.callbacks.Callback):
    """Ends a Distiller's terms after some epochs, or when they stop helping.

    From then on the student trains on the labels alone, as without a teacher: the loss is the hard
    loss with a weight of 1, plus regularizers, and no teacher is asked, so steps become cheaper.
    The training step is compiled once more. The logs' column `distils` is 1 while the terms count,
    0 after it; those of the terms and of a `Schedule` are NaN then.

    The settings keep their values, but do not count. That the terms have ended is saved with the
    Distiller, so a training that is resumed, or goes on with another `fit`, stays without them;
    `compile` begins anew with them.

    Args:
        after: Number of epochs with the terms; `None` for no fixed number.
        patience: Number of epochs without a better value of `monitor` after which the terms end;
            `None` for none. Either this or `after` must be given.
        monitor: The entry of the logs that tells whether they help.
        mode: `"min"`, `"max"`, or `"auto"` to tell from the words of the name.
        min_delta: By how much a value must be better than the best before.

    Attributes:
        ended: The first epoch without the terms, or `None`.

    Raises:
        TypeError: If a number is not one.
        ValueError: If neither `after` nor `patience` is given, or one is below 1; at the start of
            `fit`, if there is no loss on labels to go on with or it is certain that the logs will
            not hold `monitor`, otherwise once they do not.

    Example:
    ```python
    end = keras_kd.callbacks.EndDistillation(patience=3, monitor="val_accuracy")
    distiller.fit(x, y, epochs=50, validation_data=(x_val, y_val), callbacks=[end])
    ```

    Reference:
        - [Cho and Hariharan, On the Efficacy of Knowledge Distillation, 2019](
            https://arxiv.org/abs/1910.01348), who end it early.
    """

    order = 0  # a Schedule comes after it; see `keras_kd.distiller.faults.Watch.callbacks`

    def __init__(
        self,
        after: int | None = None,
        *,
        patience: int | None = None,
        monitor: str = "val_loss",
        mode: str = "auto",
        min_delta: float = 0.0,
    ):
        super().__init__()
        self.after = check_count("after", after, optional=True)
        self.patience = check_count("patience", patience, optional=True)
        if after is None and patience is None:
            raise refusal(
                "EndDistillation must have after=, a number of epochs, or patience=",
                received="neither",
                mend="Pass e.g. after=10 or patience=3",
            )
        self.monitor, self._rises = monitor, rises(monitor, mode)
        self.min_delta = check_number("min_delta", min_delta, "at least 0")
        self.ended: int | None = None
        self.best: float | None = None
        self._waited, self._seen = 0, False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Looks whether there are labels to go on with, and whether an earlier training ended it.

        Raises:
            TypeError: If the model is not a Distiller.
            ValueError: If it has no loss on labels.
        """
        model = self.model
        check_distils("EndDistillation", model, "Leave it out of the fit of other models")
        if model.loss is None:
            raise refusal(
                "EndDistillation must have labels to go on with",
                expected="a Distiller that is compiled with a loss",
                received="loss=None",
                mend="Pass loss= to distiller.compile",
            )
        self.best, self._waited, self._seen, self.ended = None, 0, False, None
        if self.patience is not None:
            check_will_be_logged(self.monitor, model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends the terms where their time is over."""
        over = self.after is not None and epoch >= self.after
        patient = self.patience is not None and self._waited >= self.patience
        # A training before this one may have ended them.
        if self.ended is None and (over or patient or not self.model.distils):
            self.ended = epoch
            self.model.distils = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compares the epoch with the best one, and keeps the columns of the logs."""
        logs = {} if logs is None else logs
        if self.patience is not None and self.ended is None:
            self._wait(logs)
        logs["distils"] = float(self.ended is None)
        if self.ended is not None:  # a CSV file that is gone on with must not shift
            terms = self.model.terms
            found = self.model.plain_temperature.columns(terms, in_step=False)
            of_terms = {*found, *(term.name for term in terms)}
            logs.update(dict.fromkeys(of_terms - logs.keys(), math.nan))

    def _wait(self, logs: dict[str, Any]) -> None:
        self._seen = self._seen or is_logged(self.monitor, logs)
        if self.monitor not in logs:
            return  # an epoch that validation_freq leaves out
        value = float(logs[self.monitor])
        gain = math.inf if self.best is None else value - self.best
        gain = gain if self._rises or self.best is None else -gain
        if math.isfinite(value) and gain > self.min_delta:
            self.best, self._waited = value, 0
        else:
            self._waited += 1
