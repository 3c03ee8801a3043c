"""An ONNX file that teaches."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._errors import check_type, wrong
from keras_kd._extras import require
from keras_kd._files import existing
from keras_kd.networks.ports import Inputs, Port
from keras_kd.runtimes.batching import in_batches
from keras_kd.runtimes.tensors import TensorInfo, by_name
from keras_kd.teachers.files import chosen
from keras_kd.teachers.host import HostTeacher

__all__ = ["ONNX"]

_DTYPES = {"float": "float32", "double": "float64"}  # the others have NumPy's names


class ONNX(HostTeacher):
    """An ONNX file, run by onnxruntime (extra `onnx`).

    On TensorFlow it is asked online, outside of the compiled graph, and everywhere when soft labels
    are written.

    Args:
        path: The file.
        head: What its outputs are: `"logits"`, or the probabilities of a `"softmax"` or a
            `"sigmoid"`.
        preprocess: Function of arrays from the student's input to the file's, e.g. from
            `(batch, height, width, 3)` to `(batch, 3, height, width)`; a dict by name where it has
            several inputs. The batch size stays.
        classes: The student's class id of each of the teacher's classes, in the teacher's order;
            `None` in it for one that the student does not have.
        output: The name of the output to learn from, where the file has several of classes.
        providers: onnxruntime's execution providers, e.g. `["CUDAExecutionProvider"]`. Default:
            the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If onnxruntime is not installed.
        ValueError: If it is not an ONNX file, has no output `(batch, classes)` or several, or
            `classes` has unknown, missing or repeated ones.

    Example:
    >>> teacher = keras_kd.teachers.ONNX(
    ...     "resnet.onnx", head="logits", preprocess=lambda x: x.transpose(0, 3, 1, 2)
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
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ):
        runtime = require("onnxruntime", extra="onnx")
        rule, mend = "list onnxruntime's providers", "Pass e.g. ['CUDAExecutionProvider']"
        check_type("providers", providers, (list, tuple), f"{rule}", expected="a list", mend=mend)
        self._hash = _hash(existing(path, "an ONNX file"))
        try:
            # By its path, because its weights may lie in files beside it.
            session = runtime.InferenceSession(os.fspath(path), providers=list(providers))
        except Exception as error:  # onnxruntime's own kinds
            received = str(error).splitlines()[0]
            mend, rule = "Export the model again", "name an ONNX file that onnxruntime can run"
            raise wrong("path", rule, received, expected=str(path), mend=mend) from error
        self._session = session
        self._tensors = [_tensor(each) for each in session.get_inputs()]
        shapes = {out.name: _tensor(out).shape for out in session.get_outputs() if _is_float(out)}
        if not shapes:
            received = [f"{out.name!r} of {out.type}" for out in session.get_outputs()]
            mend = "Convert scikit-learn's models with options={'zipmap': False}"
            raise wrong("path", "name a file with outputs of floats", received, mend=mend)
        self._output, width = chosen(shapes, output)
        ports = [Port(t.name, True, (None, *t.shape[1:]), None) for t in self._tensors]
        name = Path(path).name
        inputs = Inputs.named(name, ports)
        super().__init__(name, head, preprocess, classes, inputs=inputs, width=width)

    def _content(self) -> str:
        return f"{self._hash} {self._output}"

    def _answers(self, x: Any) -> np.ndarray:
        arrays, size = by_name(x, self._tensors, "x"), self._tensors[0].shape[0]

        def run(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {self._output: self._session.run([self._output], batch)[0]}

        return (
            run(arrays)[self._output]
            if size is None
            else in_batches(run, arrays, size)[self._output]
        )


def _hash(path: Path) -> str:
    """Returns the hash of a file and of those beside it that it names, which hold weights."""
    content = path.read_bytes()
    digest = hashlib.sha256(content)
    for file in sorted(path.parent.iterdir()):
        if file != path and file.is_file() and file.name.encode() in content:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _tensor(described: Any) -> TensorInfo:
    """Returns an input or output; sizes that the file gives a name to may be any."""
    kind = described.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) else None for size in described.shape)
    return TensorInfo(described.name, shape, _DTYPES.get(kind, kind))


def _is_float(described: Any) -> bool:
    return described.type in ("tensor(float)", "tensor(double)", "tensor(float16)")
