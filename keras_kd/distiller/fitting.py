"""fit, evaluate and their kin: Keras' own, and around them what a compiled step cannot do."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.distiller import forms, labels
from keras_kd.distiller.faults import Watch
from keras_kd.distiller.logs import LossColumns
from keras_kd.distiller.preprocessing import TakesRawData
from keras_kd.networks.structures import are_arrays

_KERAS_BATCH_SIZE = 32  # of `fit`, where arrays come without a size
_DATA = ("x", "y", "sample_weight")


@dataclass(frozen=True)
class FitFacts:
    """What callbacks have to know of the `fit` under way, and Keras does not tell them.

    Attributes:
        validates: Whether there are validation data.
        foreign: Whether there are callbacks that neither Keras nor keras_kd made, which may write
            anything into the logs.
    """

    validates: bool
    foreign: bool

    @classmethod
    def of(cls, given: dict[str, Any]) -> "FitFacts":
        """Returns the facts of `fit` with these arguments."""
        callbacks = given.get("callbacks")
        callbacks = getattr(callbacks, "callbacks", callbacks)
        return cls(
            validates=given.get("validation_data") is not None
            or bool(given.get("validation_split")),
            foreign=any(
                type(each).__module__.split(".")[0] not in ("keras", "keras_kd")
                or isinstance(each, keras.callbacks.LambdaCallback)
                for each in callbacks
            ),
        )


class EntryPoints(TakesRawData):
    """A model that reports what went wrong inside of its steps, and evaluates without its terms.

    Args:
        columns: Names of what the training logs show besides Keras' own.
        signals: What `keras_kd.distiller.faults.faults_of` the terms says to look for.
        **kwargs: As in `keras.Model`.

    Attributes:
        fit_facts: The `FitFacts` of the `fit` under way, or `None`.
    """

    fit_facts: FitFacts | None = None

    def __init__(self, columns: list[str], signals: list[str], **kwargs: Any):
        super().__init__(**kwargs)
        self._watch = Watch(signals)
        self._weighs_all_alike = False
        self._columns = LossColumns(columns)
        self._trains_unlabelled = False

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains the student, as `keras.Model.fit`, with the same arguments.

        Raises:
            ValueError: If a label is outside of the student's classes, or the teacher gave NaN or
                Inf: after the first step or at the end of the epoch, naming the first such batch.
        """
        given = _bound(super().fit, args, kwargs)
        self._keep_weights(given)
        validation = given.get("validation_data")
        if isinstance(validation, (tuple, list)) and len(validation) == 3:
            given["validation_data"] = self._keep_weights(dict(zip(_DATA, validation)))
        self.check_batch_size(_first_batch(given.get("x"), given.get("batch_size")))
        self.check_data(given.get("x"))
        self._note_weights(given.get("y"), given.get("sample_weight"))
        if hasattr(given.get("x"), "element_spec"):
            given.setdefault("shuffle", False)  # Keras' default, of which it warns for tf.data
        added = self.fit_callbacks(given.get("steps_per_epoch"))
        given["callbacks"] = self._watch.callbacks(given.get("callbacks"), added)
        _keras.set_untracked(self, "fit_facts", FitFacts.of(given))
        try:
            with self._tracing_anew_after_a_failure():
                return super().fit(**given)
        except Exception as error:
            explained = self.explained(error)
            if explained is None:
                raise
            raise explained from None
        finally:
            self._watch.epoch = None
            self.fit_facts = None

    def check_batch_size(self, batch_size: int | None) -> None:
        """Raises where a batch is too small for what is minimised."""

    def check_data(self, x: Any) -> None:
        """Raises where `fit` is given what it cannot train on."""

    def explained(self, error: Exception) -> Exception | None:
        """Returns what an error of a backend means, `None` where it says it itself."""
        return None

    def _keep_weights(self, given: dict[str, Any]) -> tuple:
        """Gives arrays with weights, but without labels, missing ones, and returns the three.

        Keras would drop the weights.
        """
        x, y, weights = map(given.get, _DATA)
        if weights is not None and y is None and are_arrays(x):
            forms.check_nothing_compares(self)
            given["y"] = y = labels.none_for(x)
        return x, y, weights

    def _note_weights(self, y: Any, sample_weight: Any) -> None:
        """Notes whether Keras will repeat one array of weights for each of several outputs."""
        nested = [keras.tree.is_nested(each) for each in (y, sample_weight)]
        alike = sample_weight is not None and nested == [True, False]
        if alike != self._weighs_all_alike:
            self._weighs_all_alike, self.train_function = alike, None

    def fit_callbacks(self, steps_per_epoch: int | None) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that `fit` adds."""
        return []

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the student, as `keras.Model.evaluate`.

        No teacher runs, except with `compile(evaluate_terms=True)`: then the terms are logged, too.

        Raises:
            ValueError: If there is nothing to compute, or a label is outside of the classes.
        """
        given = _bound(super().evaluate, args, kwargs)
        self._keep_weights(given)
        return self._evaluated(super().evaluate, (), given | given.pop("kwargs", {}))

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the student on one batch, as `keras.Model.test_on_batch`.

        Raises:
            ValueError: As in `evaluate`.
        """
        return self._evaluated(super().test_on_batch, args, kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Trains the student on one batch, as `keras.Model.train_on_batch`.

        Raises:
            ValueError: As in `fit`.
        """
        self._note_weights(None, None)  # as a batch they come as they are given
        with self._tracing_anew_after_a_failure():
            result = super().train_on_batch(*args, **kwargs)
        self._watch.finish()
        return result

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the logs, without what was not computed."""
        evaluating = self._columns.is_evaluating
        return self._logs(labelled=evaluating or not self._trains_unlabelled)

    def _logs_of_step(self, *, training: bool, labelled: bool) -> dict[str, Any]:
        if training:
            self._trains_unlabelled = not labelled
        with contextlib.nullcontext() if training else self._columns.evaluation():
            return self._logs(labelled)

    def _logs(self, labelled: bool) -> dict[str, Any]:
        with contextlib.nullcontext() if labelled else _keras.without_metrics(self):
            logs = super().get_metrics_result()
        if self._columns.is_evaluating:
            # Keras' own counts a batch without labels as one with a loss of 0.
            kept = logs.pop("loss")
            if _keras.has_loss(self):
                loss = self._columns.mean("hard_loss").result()
                # Where Keras has made numbers of its logs already, as old versions do here.
                logs = {"loss": float(loss) if isinstance(kept, float) else loss, **logs}
        return logs

    @contextlib.contextmanager
    def _tracing_anew_after_a_failure(self) -> Iterator[None]:
        # TensorFlow lets no function create the optimizer's variables at its second call.
        try:
            yield
        except Exception:
            self.train_function = None
            raise

    def _evaluated(self, method: Callable, args: tuple, kwargs: dict) -> Any:
        forms.check_evaluable(self)
        _keras.up_to_date(self)
        with self._columns.evaluation(), self._watch.evaluation():
            return method(*args, **kwargs)


def _first_batch(x: Any, batch_size: int | None) -> int | None:
    """Returns how many examples the first batch has, `None` where only the batch will tell."""
    arrays = are_arrays(x)
    leaves = keras.tree.flatten(x if arrays else getattr(x, "element_spec", ()))
    shapes = [getattr(leaf, "shape", ()) for leaf in leaves]
    sizes = [shape[0] for shape in shapes if shape and len(shape)]
    if not sizes or sizes[0] is None or not isinstance(batch_size, int | None):
        return batch_size
    return min(sizes[0], batch_size or _KERAS_BATCH_SIZE) if arrays else sizes[0]


def _bound(method: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    return dict(inspect.signature(method).bind(*args, **kwargs).arguments)
