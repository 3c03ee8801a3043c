"""A `.tflite` file that teaches."""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import check_count, wrong
from keras_kd.networks.ports import Inputs, Port
from keras_kd.runtimes import litert
from keras_kd.runtimes.tensors import by_name
from keras_kd.teachers.files import chosen
from keras_kd.teachers.host import HostTeacher

__all__ = ["TFLite"]


class TFLite(HostTeacher):
    """A `.tflite` file, run by LiteRT on the CPU.

    Inputs and outputs are real values: a quantised file's are scaled by what it says of them. A
    file that takes any batch size is given whole batches; one of a fixed size is run by as many
    interpreters as there are threads.

    On TensorFlow it is asked online, outside of the compiled graph, and everywhere when soft labels
    are written.

    Args:
        path: The file.
        head: What its outputs are: `"logits"`, or the probabilities of a `"softmax"` or a
            `"sigmoid"`.
        preprocess: Function of arrays from the student's input to the real values that the file
            takes; a dict by name where it has several inputs. The batch size stays.
        classes: The student's class id of each of the teacher's classes, in the teacher's order;
            `None` in it for one that the student does not have.
        output: The name of the output to learn from, where the file has several of classes.
        threads: CPU threads. Default: all.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a `.tflite` file, has no output `(batch, classes)` or several, or
            `classes` has unknown, missing or repeated ones.

    Example:
    >>> teacher = keras_kd.teachers.TFLite(
    ...     "mobilenet_quant.tflite", head="softmax", preprocess=lambda x: x / 127.5 - 1.0
    ... )
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        head: str | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        classes: Sequence[int | None] | None = None,
        *,
        output: str | None = None,
        threads: int | None = None,
    ):
        content = litert.read(path)
        threads = check_count("threads", threads, optional=True) or os.cpu_count() or 1
        first = _loaded(path, content, threads)
        batch = self._batch = first.inputs[0].shape[0]
        # Interpreters of one batch size share the work best with a thread each.
        several = batch is not None and threads > 1
        self._runners = [litert.Runner(content, 1) for _ in range(threads)] if several else [first]
        self._pool, self._lock = ThreadPoolExecutor(len(self._runners)), threading.Lock()
        self._tensors, self._hash = first.inputs, hashlib.sha256(content).hexdigest()
        self._output, width = chosen({out.name: out.shape for out in first.outputs}, output)
        ports = [Port(each.name, True, (None, *each.shape[1:]), None) for each in first.inputs]
        name = Path(path).name
        inputs = Inputs.named(name, ports)
        super().__init__(name, head, preprocess, classes, inputs=inputs, width=width)

    def _content(self) -> str:
        return f"{self._hash} {self._output}"

    def _answers(self, x: Any) -> np.ndarray:
        arrays = by_name(x, self._tensors, "x")
        size, count = self._batch or 1, len(next(iter(arrays.values())))
        runs = -(-count // (len(self._runners) * size)) * size  # rows of each thread
        starts = range(0, count, runs)

        def run(runner: litert.Runner, start: int) -> np.ndarray:
            part = {name: array[start : start + runs] for name, array in arrays.items()}
            return runner.predict(part)[self._output]

        with self._lock:  # an interpreter does one thing at a time
            return np.concatenate([*self._pool.map(run, self._runners, starts)])


def _loaded(path: Any, content: bytes, threads: int) -> litert.Runner:
    try:
        return litert.Runner(content, threads)
    except (RuntimeError, ValueError) as error:
        if " must " in str(error):
            raise
        received = str(error).splitlines()[0]
        mend, rule = "Look whether it is whole", "name a .tflite file that LiteRT can run"
        raise wrong("path", rule, received, expected=str(path), mend=mend) from error
