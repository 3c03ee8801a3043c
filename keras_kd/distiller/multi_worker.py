"""Several workers train one student, under `tf.distribute.MultiWorkerMirroredStrategy`.

Each worker runs the same program. What one of them refuses, all must refuse: who goes on alone
waits for the others for ever.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd._errors import refusal
from keras_kd._version import __version__
from keras_kd.teachers.teacher import NoTeacher, Teacher

__all__ = ["callbacks", "check_together", "is_chief", "mean", "per_worker", "summed"]


def is_chief(model: keras.Model) -> bool:
    """Whether this process writes files: always, where it trains alone."""
    strategy = _keras.workers(model)
    if strategy is None:
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    first = resolver.task_type == "worker" and resolver.task_id == 0
    return resolver.task_type == "chief" or (first and not has_chief)


def per_worker(model: keras.Model, logs: dict[str, Any]) -> dict[str, Any]:
    """Returns what a step logs as Keras takes it, which averages workers over the first axis."""
    if _keras.workers(model) is None:
        return logs
    return {name: ops.reshape(value, (1,)) for name, value in logs.items()}


def summed(model: keras.Model) -> contextlib.AbstractContextManager:
    """Reads metrics as the sum over all workers for a while, outside of the step.

    Elsewhere TensorFlow reads this worker's own.
    """
    strategy = _keras.workers(model)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def mean(model: keras.Model, values: Sequence[float]) -> list[float]:
    """Returns the means of numbers over the workers, the same on all of them."""
    if _keras.workers(model) is None or not values:
        return list(values)
    return [float(each) for each in _gathered(model, values, "float64").mean(axis=0)]


def check_together(model: keras.Model, teacher: Teacher, given: dict[str, Any]) -> None:
    """Raises, before the first step, where the workers would not train the same.

    Args:
        model: The Distiller.
        teacher: The `Teacher`.
        given: The arguments of `fit`.

    Raises:
        ValueError: If versions, teachers, students or arguments differ, or the student was not made
            under the strategy.
    """
    if _keras.workers(model) is None:
        return
    import tensorflow as tf

    _check_scope(model)
    known = {
        "version of keras_kd": __version__,
        "version of Keras": keras.__version__,
        "version of TensorFlow": tf.__version__,
        "teacher": None if isinstance(teacher, NoTeacher) else teacher.fingerprint(),
        "student": [tuple(weight.shape) for weight in model.student.weights],
        **{name: given[name] for name in ("epochs", "steps_per_epoch", "batch_size")},
        "shape of x": [getattr(leaf, "shape", None) for leaf in keras.tree.flatten(given["x"])],
    }
    _check_alike(model, known, "Start all workers with the same program, packages and files")


def _check_alike(model: keras.Model, known: dict[str, Any], mend: str) -> None:
    """Raises, on all workers, where they do not know the same.

    Args:
        model: The Distiller.
        known: What must be alike, by its name.
        mend: What to do about it.

    Raises:
        ValueError: If they differ.
    """
    if _keras.workers(model) is None:
        return
    digests = [int(hashlib.sha256(repr(v).encode()).hexdigest()[:15], 16) for v in known.values()]
    rows = _gathered(model, digests, "int64")
    for (name, value), column in zip(known.items(), rows.T):
        others = [number for number, digest in enumerate(column) if digest != column[0]]
        if others:
            raise refusal(
                f"All workers must have the same {name}",
                received=f"another on worker {', '.join(map(str, others))}; here {value!r}",
                mend=mend,
            )


def _gathered(model: keras.Model, values: Sequence[Any], dtype: str) -> Any:
    """Returns an array `(replicas, values)`."""
    strategy = _keras.workers(model)
    import tensorflow as tf

    row = tf.constant([list(values)], dtype)

    @tf.function(autograph=False)
    def gathered() -> tf.Tensor:
        return strategy.gather(strategy.run(lambda: row), axis=0)

    return gathered().numpy()


def _check_scope(model: keras.Model) -> None:
    """Raises where a weight of the student is this worker's own."""
    made = _keras.workers(model).extended.variable_created_in_scope
    outside = [weight.path for weight in model.student.weights if not made(weight.value)]
    if outside:
        raise refusal(
            "The student must be made under the strategy that trains it",
            expected="student and Distiller made within `with strategy.scope():`",
            received=f"{outside[0]!r}, made outside of it",
            mend="Build or load the student within the scope",
        )


def callbacks(model: keras.Model, given: Any) -> Any:
    """Returns the callbacks of this worker: the chief writes Keras' files, the others read them.

    Args:
        model: The Distiller.
        given: The callbacks, in order.
    """
    if _keras.workers(model) is None:
        return given
    if isinstance(given, keras.callbacks.CallbackList):
        given.callbacks[:] = callbacks(model, given.callbacks)
        return given
    if not is_chief(model):
        kept = [each for each in given if not isinstance(each, keras.callbacks.ModelCheckpoint)]
        is_backup = keras.callbacks.BackupAndRestore
        given = [_Restored(each) if isinstance(each, is_backup) else each for each in kept]
    return [*given, _Together()]


class _Restored(keras.callbacks.Callback):
    """Reads the chief's backup. No worker has begun an epoch's end before all have read it."""

    def __init__(self, backup: keras.callbacks.BackupAndRestore):
        super().__init__()
        self._backup = backup

    def on_train_begin(self, logs: Any = None) -> None:
        self._backup.set_model(self.model)
        self._backup.on_train_begin(logs)


class _Together(keras.callbacks.Callback):
    """Looks whether all workers begin at the same step."""

    def on_train_begin(self, logs: Any = None) -> None:
        step = int(ops.convert_to_numpy(self.model.optimizer.iterations.value))
        _check_alike(
            self.model,
            {"number of steps that it has trained": step},
            "Pass BackupAndRestore a folder that is mounted on every worker",
        )
