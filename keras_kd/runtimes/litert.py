"""Runs a `.tflite` file on arrays through LiteRT, by the names in its signature."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import message
from keras_kd.export.conversion.serving import ENDPOINT
from keras_kd.export.student.signature import Arrays, in_batches
from keras_kd.runtimes.tensors import TensorInfo, by_name


class Runner:
    """A loaded `.tflite` file.

    Args:
        content: The file's bytes.
        threads: CPU threads of the interpreter; defaults to all.
        reference: Whether to run LiteRT's plain reference kernels instead of XNNPACK and its other
            optimized ones.
    """

    def __init__(self, content: bytes, threads: int | None = None, reference: bool = False):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.threads = threads or os.cpu_count() or 1
        kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
        # From memory, not from the path: a mapped file could not be moved into place everywhere.
        interpreter = Interpreter(
            model_content=content,
            num_threads=self.threads,
            experimental_op_resolver_type=kernels,
        )
        keys = list(interpreter.get_signature_list())
        if ENDPOINT not in keys and len(keys) != 1:
            raise ValueError(
                message(
                    f"The file must have the signature {ENDPOINT!r} or a single one",
                    expected=f"the signature {ENDPOINT!r}",
                    received=f"signatures {keys}",
                    mend="Export it with keras_kd.export.tflite",
                )
            )
        self._run = interpreter.get_signature_runner(ENDPOINT if ENDPOINT in keys else keys[0])
        self.inputs = _tensors(self._run.get_input_details(), interpreter.get_input_details())
        self.outputs = _tensors(self._run.get_output_details(), interpreter.get_output_details())

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
        ValueError: If the file is no `.tflite` file, or `x` does not fit it.
        TypeError: If `x` is not numeric.

    Example:
    ```python
    keras_kd.export.tflite(student, "student.tflite")
    classes = keras_kd.export.predict("student.tflite", x_test).argmax(-1)
    ```
    """
    runner = Runner(_content(path))
    if isinstance(x, list | tuple) and len(runner.inputs) > 1:
        raise ValueError(
            message(
                "x must name the inputs, as a file does not keep their order",
                expected=f"a dict with the keys {[tensor.name for tensor in runner.inputs]}",
                received=f"a list of {len(x)}",
                mend="Pass a dict of arrays by input name",
            )
        )
    outputs = runner.predict(by_name(x, runner.inputs, "x"))
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def _content(path: str | os.PathLike[str]) -> bytes:
    content = Path(path).read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(
            message(
                "path must name a .tflite file",
                expected="the file identifier b'TFL3'",
                received=repr(content[4:8]),
                mend="Export the model with keras_kd.export.tflite",
            )
        )
    return content


def _tensors(named: dict[str, Any], in_order: list[Any]) -> tuple[TensorInfo, ...]:
    """Brings a signature's tensors into the file's own order, which metadata follow."""
    places = {detail["index"]: place for place, detail in enumerate(in_order)}
    details = sorted(named.items(), key=lambda item: places[item[1]["index"]])
    return tuple(_tensor(name, detail) for name, detail in details)


def _tensor(name: str, detail: dict[str, Any]) -> TensorInfo:
    shape = tuple(None if size < 0 else int(size) for size in detail["shape_signature"])
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"])
    if scale == 0 or dtype.kind not in "iu":
        return TensorInfo(name, shape, dtype.name)
    return TensorInfo(name, shape, dtype.name, float(scale), int(zero_point))
