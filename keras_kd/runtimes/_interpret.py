"""The process that runs files which nobody has run yet: `python _interpret.py`.

LiteRT's kernels can abort the process that they run in. It is run by its path and imports LiteRT
and NumPy alone, not keras_kd: that takes a third of a second, TensorFlow would take several.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import _messages

    sys.path.pop(0)  # this folder, whose modules are not to be found by others

import numpy as np

Details = tuple[str, list[int], str, float, int]


class Loaded:
    """A `.tflite` file in an interpreter.

    Args:
        content: The file's bytes.
        threads: CPU threads.
        reference: Whether to run LiteRT's plain reference kernels.
        endpoint: The signature to run, if there is one of that name. A file without signatures is
            run by the names of its tensors.

    Attributes:
        run: Runs one batch of arrays by input name.
        inputs: Name, shape, dtype, scale and zero point of each input, in the file's own order.
        outputs: Those of the outputs.

    Raises:
        LookupError: If there are other signatures instead, which the error names.
    """

    def __init__(self, content: bytes, threads: int, reference: bool, endpoint: str):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
        # From memory, not from the path: a mapped file could not be moved into place everywhere.
        interpreter = Interpreter(
            model_content=content,
            num_threads=threads,
            experimental_op_resolver_type=kernels,
        )
        keys = list(interpreter.get_signature_list())
        if not keys:
            self._of_file(interpreter)
            return
        if endpoint not in keys and len(keys) != 1:
            raise LookupError(str(keys))
        runner = interpreter.get_signature_runner(endpoint if endpoint in keys else keys[0])
        self.run: Callable[..., dict[str, np.ndarray]] = runner
        self.inputs = _details(runner.get_input_details(), interpreter.get_input_details())
        self.outputs = _details(runner.get_output_details(), interpreter.get_output_details())

    def _of_file(self, interpreter: Any) -> None:
        """Runs a file without signatures by the names of its tensors."""
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()

        def run(**batch: np.ndarray) -> dict[str, np.ndarray]:
            for detail in inputs:
                interpreter.resize_tensor_input(detail["index"], batch[detail["name"]].shape)
            interpreter.allocate_tensors()
            for detail in inputs:
                interpreter.set_tensor(detail["index"], batch[detail["name"]])
            interpreter.invoke()
            return {each["name"]: interpreter.get_tensor(each["index"]) for each in outputs}

        self.run = run
        self.inputs, self.outputs = (
            _details({detail["name"]: detail for detail in details}, details)
            for details in (inputs, outputs)
        )


def _details(named: dict[str, Any], in_order: list[Any]) -> list[Details]:
    """Brings a signature's tensors into the file's own order, which metadata follow."""
    places = {detail["index"]: place for place, detail in enumerate(in_order)}
    return [
        (
            name,
            detail["shape_signature"].tolist(),
            np.dtype(detail["dtype"]).name,
            float(detail["quantization"][0]),
            int(detail["quantization"][1]),
        )
        for name, detail in sorted(named.items(), key=lambda item: places[item[1]["index"]])
    ]


class _Answering:
    """Answers requests with what a file gives; the last file stays loaded."""

    def __init__(self):
        self._source: dict[str, Any] = {}
        self._loaded: Loaded | None = None

    def __call__(self, facts: dict[str, Any], arrays: list[np.ndarray]) -> Any:
        source = facts["source"]
        if source != self._source:
            self._loaded, self._source = None, {}
            content = Path(source["file"]).read_bytes()
            self._loaded = Loaded(
                content, *(source[x] for x in ("threads", "reference", "endpoint"))
            )
            self._source = source
        if not arrays:
            return {"inputs": self._loaded.inputs, "outputs": self._loaded.outputs}, ()
        outputs = self._loaded.run(**dict(zip(facts["names"], arrays)))
        return {"names": list(outputs)}, list(outputs.values())


if __name__ == "__main__":
    _messages.serve(_Answering())
