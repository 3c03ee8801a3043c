"""What is compared: a Keras model, a teacher or a `.tflite` file, asked alike."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import check_type, refusal, wrong
from keras_kd.export.file_report import Latency, measure
from keras_kd.export.tflite_file import operators
from keras_kd.networks import final_activation
from keras_kd.report.mac_counts import file_macs, macs
from keras_kd.teachers.asked import asked_teacher
from keras_kd.teachers.preprocessors import shown
from keras_kd.teachers.teacher import Teacher, check_can_be_asked

__all__ = ["Contestant", "contestant"]

_BATCH = 64
_ENDS = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "LOG_SOFTMAX": "logits"}


class Contestant(ABC):
    """Whoever answers.

    Attributes:
        parameters: Number of weights, `None` where they are not Keras'.
        bytes: Size of the file; of Keras models, of their weights; `None` of other teachers.
        macs: Multiply-accumulates of one answer, `None` where the graph does not tell.
        head: What its output is, `"logits"`, `"softmax"` or `"sigmoid"`; `None` where the graph
            does not tell.
    """

    parameters: int | None
    bytes: int | None
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
        given: A Keras model, a Distiller, one of `keras_kd.teachers`, a list of models, which is
            an ensemble, or the path of a `.tflite` file.

    Raises:
        TypeError: If it is none of them.
        ValueError: If there is no such file, or it is of another kind, or a model is not built.
    """
    if isinstance(given, keras.Model):
        model = getattr(given, "student", given)
        if not model.built:
            rule, mend = "be built", "Call it on a batch, or model.build(input_shape), first"
            raise wrong(f"models[{name!r}]", rule, model, mend=mend)
        return _KerasModel(model)
    if isinstance(given, Teacher | list | tuple):
        teacher = asked_teacher(given, None)
        return _Teacher(name, check_can_be_asked(f"models[{name!r}]", teacher))
    check_type(
        f"models[{name!r}]",
        given,
        (str, os.PathLike),
        "be what can be asked",
        expected="a keras.Model, one of keras_kd.teachers or the path of a .tflite file",
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
        self.parameters, self.bytes = model.count_params(), _bytes([model])
        self.macs = macs(model)
        graph = _keras.graph(model)
        ends = keras.tree.flatten(graph[1]) if graph else []
        self.head = final_activation.trace(ends[0]).kind if len(ends) == 1 else None

    def answers(self, x: Any) -> np.ndarray:
        return keras.tree.map_structure(np.asarray, self._model.predict(x, verbose=0))

    def latency(self, x: Any) -> Latency:
        one = keras.tree.map_structure(lambda array: np.asarray(array[:1]), x)
        return measure(lambda: self._model.predict_on_batch(one), None)


class _Teacher(Contestant):
    """Whoever teaches; of an ensemble, the mean of the members' probabilities answers."""

    macs = None

    def __init__(self, name: str, teacher: Teacher):
        self._teacher, models = teacher, teacher.models
        known = len(models) == len(teacher.respondents)
        self.parameters = sum(model.count_params() for model in models) if known else None
        self.bytes = _bytes(models) if known else None
        kinds = {head.kind for head in teacher.heads.values()}
        if None in kinds:
            raise refusal(
                f"The head of models[{name!r}] must be known, because its graph does not show it",
                received="None",
                mend="Pass head='logits', 'softmax' or 'sigmoid' to the teacher of "
                "keras_kd.teachers, or to its KerasModel",
            )
        self.head = "sigmoid" if kinds == {"sigmoid"} else "logits"

    def answers(self, x: Any) -> dict[str, np.ndarray]:
        x, pieces = keras.tree.map_structure(np.asarray, x), []
        for start in range(0, len(keras.tree.flatten(x)[0]), _BATCH):
            batch = keras.tree.map_structure(lambda a, s=start: a[s : s + _BATCH], x)
            pieces.append(self._logits(batch))
        logits = {name: np.concatenate([each[name] for each in pieces]) for name in pieces[0]}
        if self.head == "logits":
            return logits
        return {name: 1 / (1 + np.exp(-each.astype("float64"))) for name, each in logits.items()}

    def latency(self, x: Any) -> Latency:
        one = keras.tree.map_structure(lambda array: np.asarray(array[:1]), x)
        return measure(lambda: self._logits(one), None)

    def _logits(self, x: Any) -> dict[str, np.ndarray]:
        x = shown(self._teacher.preprocess_samples, x)
        stored = self._teacher.stored(self._teacher.predict(x), [1.0])
        if self._teacher.averages:
            return {name: each[:, 0] for name, each in stored.items()}
        return stored


def _bytes(models: Sequence[keras.Model]) -> int:
    return sum(
        int(np.prod(weight.shape)) * np.dtype(_numpy(weight.dtype)).itemsize
        for model in models
        for weight in model.weights
    )


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
