"""What is compared: a Keras model or a `.tflite` file, asked alike."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import check_type, wrong
from keras_kd.export.file_report import Latency, measure
from keras_kd.export.tflite_file import operators
from keras_kd.networks import final_activation
from keras_kd.report.mac_counts import file_macs, macs

__all__ = ["Contestant", "contestant"]

_ENDS = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "LOG_SOFTMAX": "logits"}


class Contestant(ABC):
    """Whoever answers.

    Attributes:
        parameters: Number of weights.
        bytes: Size of the file; of a Keras model, of its weights.
        macs: Multiply-accumulates of one answer, `None` where the graph does not tell.
        head: What its output is, `"logits"`, `"softmax"` or `"sigmoid"`; `None` where the graph
            does not tell.
    """

    parameters: int
    bytes: int
    macs: int | None
    head: str | None

    @abstractmethod
    def answers(self, x: Any) -> np.ndarray:
        """Returns the outputs for all samples."""

    @abstractmethod
    def latency(self, x: Any) -> Latency:
        """Returns how long one sample takes."""


def contestant(name: str, given: Any) -> Contestant:
    """Returns what `given` stands for.

    Args:
        name: What it is called, for messages.
        given: A Keras model, a Distiller, or the path of a `.tflite` file.

    Raises:
        TypeError: If it is neither.
        ValueError: If there is no such file, or it is of another kind.
    """
    if isinstance(given, keras.Model):
        return _KerasModel(getattr(given, "student", given))
    check_type(
        f"models[{name!r}]",
        given,
        (str, os.PathLike),
        "be what can be asked",
        expected="a keras.Model or the path of a .tflite file",
        mend="Load the model first",
    )
    if not Path(given).is_file() or Path(given).suffix.lower() != ".tflite":
        rule, expected = "be a .tflite file that is there", "an existing .tflite file"
        mend = "Export the student with keras_kd.export.tflite, or load other models first"
        raise wrong(f"models[{name!r}]", rule, str(given), expected=expected, mend=mend)
    return _File(Path(given))


class _KerasModel(Contestant):
    def __init__(self, model: keras.Model):
        self._model = model
        self.parameters = model.count_params()
        self.bytes = sum(
            int(np.prod(weight.shape)) * np.dtype(_numpy(weight.dtype)).itemsize
            for weight in model.weights
        )
        self.macs = macs(model)
        graph = _keras.graph(model)
        ends = keras.tree.flatten(graph[1]) if graph else []
        self.head = final_activation.trace(ends[0]).kind if len(ends) == 1 else None

    def answers(self, x: Any) -> np.ndarray:
        return keras.tree.map_structure(np.asarray, self._model.predict(x, verbose=0))

    def latency(self, x: Any) -> Latency:
        one = keras.tree.map_structure(lambda array: np.asarray(array[:1]), x)
        return measure(lambda: self._model.predict_on_batch(one), None)


def _numpy(dtype: str) -> str:
    return {"bfloat16": "float16"}.get(dtype, dtype)


class _File(Contestant):
    def __init__(self, path: Path):
        from keras_kd.runtimes.litert import Runner

        content = path.read_bytes()
        self._runner = Runner(content)
        self.bytes = len(content)
        self.macs = file_macs(content)
        self.head = _last(content)
        self.parameters = _constants(content)

    def answers(self, x: Any) -> np.ndarray:
        outputs = self._runner.predict(self._arrays(x))
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def latency(self, x: Any) -> Latency:
        one = keras.tree.map_structure(lambda array: array[:1], x)
        run: Callable[[], Any] = self._runner.invocation(self._arrays(one))
        return measure(run, self._runner.threads)

    def _arrays(self, x: Any) -> dict[str, np.ndarray]:
        from keras_kd.runtimes.tensors import by_name

        return by_name(x, self._runner.inputs, "x")


def _last(content: bytes) -> str | None:
    """Returns what the last operator of a file gives, of which a quantisation changes nothing."""
    graphs, names = operators.parsed(content)
    makers = {use.Outputs(0): use for use in operators.uses(graphs[0])}
    use = makers.get(graphs[0].Outputs(0)) if graphs[0].OutputsLength() == 1 else None
    while use is not None and names[use.OpcodeIndex()] in ("QUANTIZE", "DEQUANTIZE"):
        use = makers.get(use.Inputs(0))
    return None if use is None else _ENDS.get(names[use.OpcodeIndex()])


def _constants(content: bytes) -> int:
    """Returns how many weights a file holds: what is stored in it, but for shapes and indices."""
    from ai_edge_litert import schema_py_generated as schema

    graphs, _ = operators.parsed(content)
    model = schema.Model.GetRootAs(content, 0)
    stored: dict[int, int] = {}
    for graph in graphs:
        for place in range(graph.TensorsLength()):
            tensor = graph.Tensors(place)
            shape, scales = tensor.ShapeAsNumpy(), tensor.Quantization()
            scaled = scales is not None and scales.ScaleLength() > 0
            is_float = tensor.Type() in (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
            if model.Buffers(tensor.Buffer()).DataLength() and (scaled or is_float):
                stored[tensor.Buffer()] = 1 if np.isscalar(shape) else int(np.prod(shape))
    return sum(stored.values())
