"""From a student to a checked SavedModel."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras

from keras_kd.export import placing, publishing
from keras_kd.export.conversion import child
from keras_kd.export.conversion.task import Task
from keras_kd.export.file_report import Report, measure, sizes
from keras_kd.export.options import SavedModelOptions
from keras_kd.export.student import outputs as outputs_of
from keras_kd.export.student.model import heads_of, in_float32, student_of
from keras_kd.export.student.outputs import Output
from keras_kd.export.student.samples import count
from keras_kd.export.student.signature import Signature
from keras_kd.export.verification import accuracy, channels, reference
from keras_kd.export.verification import verify as checks
from keras_kd.runtimes.batching import Arrays, in_batches
from keras_kd.runtimes.endpoint import ENDPOINT
from keras_kd.runtimes.tensors import TensorInfo

__all__ = ["check", "saved_model"]

# What the report of every SavedModel says: the other fields are about `.tflite` files.
_FIXED: dict[str, Any] = {
    "format": "saved_model",
    "quantization": None,
    "operators": {},
    "float_operators": {},
    "calibration_samples": 0,
    "reference_error": None,
    "reference_samples": 0,
}


def saved_model(
    model: keras.Model,
    path: str | os.PathLike[str],
    verify: Any = None,
    tolerance: float | None = None,
) -> Report:
    """Exports a student as a TensorFlow SavedModel, runs it, and compares it with the Keras model.

    The endpoint `"serve"` takes any number of samples and needs no Keras: inputs are named as in
    Keras, outputs by the keys of a dict output or by the output layers, a single output is
    `"output_0"`. Half-precision students are exported from an exact float32 copy.

    Args:
        model: A built Functional or Sequential model, or a `keras_kd.Distiller`, whose student is
            exported.
        path: The folder to write. An existing SavedModel is replaced once the new one has
            passed the checks.
        verify: Samples to compare on, with labels or without, in the forms that `tflite` takes.
            Defaults to seeded random inputs.
        tolerance: Relative RMS error allowed. Defaults to 1e-5.

    Returns:
        A `Report`: sizes, inputs and outputs, agreement with Keras, latency of single samples.

    Raises:
        ValueError: If an argument is wrong; nothing was written then.
        TypeError: If `model`, `path` or an array is of the wrong kind.
        VerificationError: If the SavedModel is wrong or disagrees; it was removed.
        OSError: If the disk is full.

    Example:
    ```python
    report = keras_kd.export.saved_model(student, "student_saved_model")
    layer = keras.layers.TFSMLayer("student_saved_model", call_endpoint="serve")
    ```
    """
    target = publishing.folder_target(path)
    signature, outputs, compared, class_ids, allowed = _checked(model, verify, tolerance)
    original = signature.student
    signature = replace(signature, student=in_float32(original))
    expected = reference.reference(signature, original, compared)
    with placing.workspace(target) as folder:
        new = folder / "saved_model"
        child.hand_over(signature, folder)
        if not new.exists():
            child.run(folder, Task.of(signature), signature)
        endpoint = _Endpoint(new)
        answers = endpoint.predict(compared)
        report = Report(
            path=os.fspath(path),
            inputs=signature.inputs,
            outputs=endpoint.outputs,
            tolerance=allowed,
            **_FIXED,
            **sizes(new),
            **_agreement(expected, answers, outputs, allowed),
            **asdict(accuracy.measure(class_ids, outputs, expected, answers)),
            **asdict(measure(endpoint.invocation(compared), None)),
        )
        publishing.publish_folder(new, target)
    return report


def check(model: keras.Model, verify: Any = None, tolerance: float | None = None) -> None:
    """Raises what `saved_model` raises before its work.

    Args:
        model: As in `saved_model`.
        verify: As there.
        tolerance: As there.

    Raises:
        ValueError: If an option does not fit the model, or the model cannot be exported.
        TypeError: If arrays are of the wrong kind.
    """
    _checked(model, verify, tolerance)


def _checked(model: keras.Model, verify: Any, tolerance: float | None) -> tuple[Any, ...]:
    options, student = SavedModelOptions(verify, tolerance), student_of(model)
    signature, outputs = Signature.of(student, None), outputs_of.of(student, heads_of(model))
    compared, y = reference.samples(signature, options.verify, None)
    class_ids = accuracy.check_labels(y, outputs, count(compared))
    allowed = checks.check_tolerance(options.tolerance, options.default_tolerance, outputs)
    return signature, outputs, compared, class_ids, allowed


def _agreement(
    expected: Arrays, answers: Arrays, outputs: Sequence[Output], allowed: float
) -> dict[str, Any]:
    """Returns the report's fields on agreement, or refuses the SavedModel."""
    comparison = checks.compare(expected, answers)
    checks.require_close(comparison, allowed, "The exported file")
    checks.require_spread(comparison, allowed)
    heads = {output.name: output.head for output in outputs}
    channel_error = channels.check(expected, answers, heads, allowed)
    return {"channel_error": channel_error, **asdict(comparison)}


class _Endpoint:
    """The endpoint of a SavedModel, reloaded as a stranger to Keras would."""

    def __init__(self, folder: Path):
        import tensorflow as tf

        # The loaded object owns the variables that its function needs.
        self._loaded = tf.saved_model.load(str(folder))
        self._function = self._loaded.signatures[ENDPOINT]
        self.outputs = tuple(
            TensorInfo(name, tuple(spec.shape), spec.dtype.name)
            for name, spec in sorted(self._function.structured_outputs.items())
        )

    def call(self, batch: Arrays) -> Arrays:
        """Runs one batch."""
        import tensorflow as tf

        tensors = {name: tf.constant(array) for name, array in batch.items()}
        return {name: value.numpy() for name, value in self._function(**tensors).items()}

    def invocation(self, arrays: Arrays) -> Callable[[], Any]:
        """Returns a function that runs the first sample."""
        one = {name: array[:1] for name, array in arrays.items()}
        return lambda: self.call(one)

    def predict(self, arrays: Arrays) -> Arrays:
        """Runs all samples."""
        return in_batches(self.call, arrays, None)
