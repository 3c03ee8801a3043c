"""Several workers train one student, under `tf.distribute.MultiWorkerMirroredStrategy`.

Each worker runs the same program. What one of them refuses, all must refuse: one that goes on alone
would wait for the others forever.
"""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd._errors import refusal
from keras_kd._version import __version__
from keras_kd.teachers.teacher import NoTeacher, Teacher

__all__ = [
    "callbacks",
    "check_cluster",
    "check_together",
    "is_chief",
    "mean",
    "per_worker",
    "summed",
    "together",
]

_OLDEST_KERAS = (3, 10)  # older ones keep one sum for all workers' metrics, and get it wrong
# Arguments of `fit` that all workers must give alike.
_ALIKE = (
    *("epochs", "initial_epoch", "steps_per_epoch", "batch_size", "class_weight"),
    *("validation_split", "validation_steps", "validation_batch_size", "validation_freq"),
)


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


def mean(model: keras.Model, find: Callable[[], list[float]]) -> list[float]:
    """Returns the means of the numbers that each worker finds, the same on all of them."""
    with together(model):
        values = find()
    if _keras.workers(model) is None:
        return values
    return [float(each) for each in _gathered(model, values, "float64").mean(axis=0)]


@contextlib.contextmanager
def together(model: keras.Model) -> Iterator[None]:
    """Lets all workers fail, before any waits for another, where one of them does.

    Raises:
        ValueError: If another worker fails.
    """
    if _keras.workers(model) is None:
        yield
        return
    try:
        yield
    except Exception:
        _gathered(model, [1], "int64")
        raise
    failed = _gathered(model, [0], "int64")[:, 0]
    if failed.any():
        raise refusal(
            "All workers must be ready to train",
            expected="no error on any of them",
            received=f"one on worker {_listed(failed)}",
            mend="See that worker's message",
        )


def check_together(model: keras.Model, teacher: Teacher, given: dict[str, Any]) -> None:
    """Raises, before the first step, where the workers would not train the same one student.

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
    with together(model):
        import tensorflow as tf

        _check_scope(model)
        known = {
            "version of keras_kd": __version__,
            "version of Keras": keras.__version__,
            "version of TensorFlow": tf.__version__,
            "teacher": None if isinstance(teacher, NoTeacher) else teacher.fingerprint(),
            "student": [tuple(weight.shape) for weight in model.student.weights],
            "alpha": _number(model.alpha) if model.is_plain else None,
            "hard_weight": None if model.is_plain else _number(model.hard_weight),
            "terms": [
                (term.name, _number(term.weight), getattr(term.loss, "student_power", None))
                for term in model.terms
            ],
            "optimizer": (type(model.optimizer).__name__, _number(model.optimizer.learning_rate)),
            **{name: given.get(name) for name in _ALIKE},
            "shape of x": _shapes(given["x"]),
            "shape of validation_data": _shapes(given.get("validation_data")),
        }
    _check_alike(model, known, "Start all workers with the same program, packages and files")


def _number(variable: Any) -> float:
    return float(keras.ops.convert_to_numpy(variable))


def _shapes(data: Any) -> list[Any]:
    return [getattr(leaf, "shape", None) for leaf in keras.tree.flatten(data)]


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
        if (others := column != column[0]).any():
            raise refusal(
                f"All workers must have the same {name}",
                received=f"another on worker {_listed(others)}; here {value!r}",
                mend=mend,
            )


def _gathered(model: keras.Model, values: Sequence[Any], dtype: str) -> Any:
    """Returns an array `(replicas, values)`."""
    import tensorflow as tf

    return _gathering(_keras.workers(model))(tf.constant([list(values)], dtype)).numpy()


@functools.lru_cache(1)
def _gathering(strategy: Any) -> Callable[[Any], Any]:
    import tensorflow as tf

    return tf.function(lambda row: strategy.gather(strategy.run(lambda: row), 0), autograph=False)


def _listed(flags: Any) -> str:
    return ", ".join(str(number) for number, flag in enumerate(flags) if flag)


def check_cluster(model: keras.Model) -> None:
    """Raises where TF_CONFIG, the strategy and Keras do not fit; asks no other worker."""
    strategy = _keras.workers(model)
    several = strategy is not None
    named = _named_workers() if keras.backend.backend() == "tensorflow" else 0
    received = None
    if several and not strategy.cluster_resolver.cluster_spec().jobs:
        received = "a strategy that was made without TF_CONFIG"
    elif not several and named > 1:
        received = f"TF_CONFIG with {named} workers, and a student made outside of the strategy"
    elif several and tuple(map(int, keras.__version__.split(".")[:2])) < _OLDEST_KERAS:
        received = f"Keras {keras.__version__}"
    if received:
        raise refusal(
            "Workers must train under the strategy of their cluster",
            expected="TF_CONFIG that names them, then tf.distribute.MultiWorkerMirroredStrategy, "
            "then the student within its scope; Keras {}.{} or later".format(*_OLDEST_KERAS),
            received=received,
            mend="Use tf.distribute.MirroredStrategy without TF_CONFIG to train on one machine",
        )


def _named_workers() -> int:
    """Returns how many workers TF_CONFIG names, if this process is one of them."""
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        trains = config.get("task", {}).get("type") in ("chief", "worker")
        jobs = config.get("cluster", {})
        return sum(len(jobs.get(job, ())) for job in ("chief", "worker")) if trains else 0
    except (ValueError, AttributeError, TypeError):
        return 0  # TensorFlow refuses it where the strategy is made


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
