"""A function of NumPy arrays that teaches."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from keras_kd._errors import check_callable, check_integer, check_type
from keras_kd.networks.ports import Inputs, Port
from keras_kd.teachers.function_hash import function_hash
from keras_kd.teachers.host import HostTeacher, kind_of

__all__ = ["Function"]


class Function(HostTeacher):
    """Any function from NumPy arrays to NumPy arrays: of PyTorch, scikit-learn, or of an API.

    On TensorFlow it is asked online, outside of the compiled graph, and everywhere when soft labels
    are written.

    Args:
        fn: Takes a batch, `(batch, ...)` or a list or dict of such as the student does, and returns
            one row of numbers for each sample, `(batch, classes)`.
        head: What these are: `"logits"`, or the probabilities of a `"softmax"` or a `"sigmoid"`.
            Default: what the answers to `sample` show, if they do.
        preprocess: Function of arrays from the student's input to that of `fn`. The batch size
            stays.
        classes: The student's class id of each of the teacher's classes, in the teacher's order,
            e.g. `forest.classes_`; `None` in it for one that the student does not have.
        version: Tells this state of the function from others where soft labels are written, e.g. a
            checksum of its weights.
        sample: A few inputs of `fn`. It is asked about them at once: they show the number of
            classes, the input's shape, often the head and, without a `version`, which function it
            is.
        threads: How many parts of a batch are asked about at the same time, where `fn` waits for
            others or lets go of Python's lock.
        name: What to call it. Default: the function's name.

    Without `version` and `sample` its fingerprint is that of its name, its code and the plain
    values that it reads, numbers and arrays among them. What a module of PyTorch or a forest has
    learned is not seen. (Whoever goes on with soft labels is compared with those that are there all
    the same.)

    Raises:
        TypeError: If `fn` cannot be called, or an argument is of the wrong type.
        ValueError: If `classes` has unknown, missing or repeated ones, or the answers to `sample`
            are not `(batch, classes)`.

    Example:
    >>> forest = sklearn.ensemble.RandomForestClassifier().fit(x, y)
    >>> teacher = keras_kd.teachers.Function(
    ...     forest.predict_proba, head="softmax", classes=forest.classes_
    ... )
    """

    def __init__(
        self,
        fn: Callable[[Any], Any],
        head: str | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        classes: Sequence[int | None] | None = None,
        *,
        version: str | None = None,
        sample: Any = None,
        threads: int = 1,
        name: str | None = None,
    ):
        mend = "Pass e.g. Function(forest.predict_proba)"
        self._function = check_callable("fn", fn, "be a function of NumPy arrays", mend=mend)
        if version is not None:
            check_type("version", version, str, "be a string", example="1")
        self._version = version
        name = name or getattr(fn, "__name__", type(fn).__name__)
        self._pool, self._threads = None, check_integer("threads", threads, 1)
        if self._threads > 1:
            self._pool = ThreadPoolExecutor(self._threads)
        super().__init__(name, head, preprocess, classes, inputs=_inputs(name, sample))
        self._answers_to_sample = None
        if sample is not None:
            self._width = None  # as the answers show, whatever `classes` says
            self._answers_to_sample = self._asked_about(sample)
            found = kind_of(self._answers_to_sample)
            self._describe_output(head or found, self._answers_to_sample.shape[1])

    def _outputs(self, x: Any) -> np.ndarray:
        # Others' functions may write into what they are given, and PyTorch asks to be able to.
        return super()._outputs(keras.tree.map_structure(np.array, x))

    def _answers(self, x: Any) -> Any:
        if self._pool is None:
            return self._function(x)
        leaves = keras.tree.flatten(x)
        cuts = [np.array_split(leaf, min(self._threads, len(leaf))) for leaf in leaves]
        parts = [keras.tree.pack_sequence_as(x, list(each)) for each in zip(*cuts)]
        return np.concatenate([np.asarray(rows) for rows in self._pool.map(self._function, parts)])

    def _content(self) -> str:
        if self._version is not None:
            return repr((self.name, self._version))
        if self._answers_to_sample is not None:
            return hashlib.sha256(self._answers_to_sample.tobytes()).hexdigest()
        return repr((self.name, function_hash(self._function)))


def _inputs(name: str, sample: Any) -> Inputs | None:
    """Returns what a sample shows of a function's inputs; of those in lists, nothing by name."""
    if sample is None or isinstance(sample, (list, tuple)):
        return None
    named = sample if isinstance(sample, dict) else {"input": sample}
    arrays = {key: np.asarray(values) for key, values in named.items()}
    ports = [
        Port(key, key != "input", (None, *array.shape[1:]), array.dtype.name)
        for key, array in arrays.items()
    ]
    return Inputs.named(name, ports)
