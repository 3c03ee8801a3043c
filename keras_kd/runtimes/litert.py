"""Runs a `.tflite` file on arrays through LiteRT, by the names in its signature."""

import itertools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import refusal, wrong
from keras_kd._files import existing
from keras_kd.runtimes import _interpret, worker
from keras_kd.runtimes._interpret import Details, Loaded
from keras_kd.runtimes.batching import Arrays, in_batches
from keras_kd.runtimes.endpoint import ENDPOINT
from keras_kd.runtimes.tensors import TensorInfo, by_name

__all__ = ["Isolated", "Runner", "predict", "read"]


class Runner:
    """A loaded `.tflite` file.

    Args:
        content: The file's bytes.
        threads: CPU threads of the interpreter; defaults to all.
    """

    def __init__(self, content: bytes, threads: int | None = None):
        self.threads = threads or os.cpu_count() or 1
        try:
            loaded = Loaded(content, self.threads, False, ENDPOINT)
        except LookupError as error:
            raise refusal(
                f"The file must have the signature {ENDPOINT!r} or a single one",
                received=f"signatures {error.args[0]}",
                mend="Export it with keras_kd.export.tflite",
            ) from error
        self._run = loaded.run
        self.inputs, self.outputs = _tensors(loaded.inputs), _tensors(loaded.outputs)

    def predict(self, arrays: Arrays) -> Arrays:
        """Returns the outputs by name, as real values, for all samples of checked `arrays`."""
        outputs = {tensor.name: tensor for tensor in self.outputs}
        stored = {tensor.name: tensor.stored(arrays[tensor.name]) for tensor in self.inputs}
        joined = in_batches(lambda batch: self._run(**batch), stored, self.inputs[0].shape[0])
        return {name: outputs[name].real(array) for name, array in joined.items()}

    def invocation(self, arrays: Arrays) -> Callable[[], Any]:
        """Returns a function that runs the first sample, as often as a batch holds samples."""
        rows = [0] * (self.inputs[0].shape[0] or 1)
        batch = {tensor.name: tensor.stored(arrays[tensor.name][rows]) for tensor in self.inputs}
        return lambda: self._run(**batch)


class Isolated(Runner):
    """A `.tflite` file that is loaded and run in a process of its own, which it may crash.

    Args:
        file: The file.
        reference: Whether to run LiteRT's plain reference kernels instead of XNNPACK and its other
            optimized ones.

    Raises:
        RuntimeError: Here and in `predict`, if the file cannot be loaded or run; with the signal,
            if that ended the process.
    """

    def __init__(self, file: Path, reference: bool = False):
        self.threads = os.cpu_count() or 1
        self._source = {
            "file": str(file),
            "number": next(_NUMBERS),  # another one is another content
            "threads": self.threads,
            "reference": reference,
            "endpoint": ENDPOINT,
        }
        facts, _ = _PROCESS.ask({"source": self._source})
        self.inputs, self.outputs = _tensors(facts["inputs"]), _tensors(facts["outputs"])

    def _run(self, **batch: np.ndarray) -> Arrays:
        facts = {"source": self._source, "names": list(batch)}
        reply, arrays = _PROCESS.ask(facts, list(batch.values()))
        return dict(zip(reply["names"], arrays))


_NUMBERS = itertools.count()
_PROCESS = worker.Worker([sys.executable, _interpret.__file__], worker.environment)


def predict(path: str | os.PathLike[str], x: Any) -> np.ndarray | Arrays:
    """Runs a `.tflite` file on arrays of real values, as `model.predict` runs a Keras model.

    Args:
        path: The file, with the signature `"serve"` or a single other one.
        x: All samples: an array, or a dict of arrays by input name where the file takes several
            (a file does not keep their order). Values are real ones whatever their dtype: they
            are quantised where the file asks for it.

    Returns:
        The dequantised answers, one row for each sample: an array, or a dict by output name where
        the file gives several.

    Raises:
        ValueError: If the file is not a `.tflite` file, or `x` does not fit it.
        TypeError: If `x` is not numeric.

    Example:
    ```python
    keras_kd.export.tflite(student, "student.tflite")
    classes = keras_kd.export.predict("student.tflite", x_test).argmax(-1)
    ```
    """
    runner = Runner(read(path))
    if isinstance(x, list | tuple) and len(runner.inputs) > 1:
        raise refusal(
            "x must name the inputs, because a file does not keep their order",
            expected=f"a dict with the keys {[tensor.name for tensor in runner.inputs]}",
            received=f"a list of {len(x)}",
            mend="Pass a dict of arrays by input name",
        )
    outputs = runner.predict(by_name(x, runner.inputs, "x"))
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def read(path: str | os.PathLike[str]) -> bytes:
    """Returns the bytes of a `.tflite` file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is another file.
    """
    content = existing(path, "a .tflite file").read_bytes()
    if content[4:8] != b"TFL3":
        expected, mend = (
            "the file identifier b'TFL3'",
            "Export the model with keras_kd.export.tflite",
        )
        raise wrong("path", "name a .tflite file", content[4:8], expected=expected, mend=mend)
    return content


def _tensors(details: Sequence[Details]) -> tuple[TensorInfo, ...]:
    return tuple(map(_tensor, details))


def _tensor(details: Details) -> TensorInfo:
    name, sizes, dtype, scale, zero_point = details
    shape = tuple(None if size < 0 else size for size in sizes)
    if scale == 0 or np.dtype(dtype).kind not in "iu":
        return TensorInfo(name, shape, dtype)
    return TensorInfo(name, shape, dtype, scale, zero_point)
