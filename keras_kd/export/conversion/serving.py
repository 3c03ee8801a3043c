"""The student as a SavedModel with the one endpoint `serve`."""

import contextlib
import io
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from keras_kd._errors import refusal
from keras_kd.export.student.outputs import SINGLE_OUTPUT
from keras_kd.export.student.signature import Signature
from keras_kd.networks.models import layers_between
from keras_kd.runtimes.endpoint import ENDPOINT

__all__ = ["is_quantization_aware", "used_weights", "write"]

# Standard output belongs to the process: exports in several threads redirect it in turn.
_STDOUT = threading.Lock()


def write(signature: Signature, folder: Path) -> None:
    """Writes the student's inference pass into `folder`, inputs and outputs by name.

    Raises:
        ValueError: If the student cannot be traced with this signature.
    """
    archive = keras.export.ExportArchive()
    # Other layers, e.g. a task's tokenizer, would bring their lookup tables into the file.
    for layer in layers_between(signature.student):
        archive.track(layer)
    try:
        archive.add_endpoint(ENDPOINT, _endpoint(signature), [_specs(signature)])
        with _silence():
            archive.write_out(str(folder))
    except (TypeError, ValueError) as error:
        raise refusal(
            "The model must run on inputs of the exported shapes",
            expected=f"a model that takes {[(t.name, t.shape) for t in signature.inputs]}",
            received=str(error),
            mend="Choose a batch_size that the model was built for, or mend its layers",
        ) from error


def is_quantization_aware(signature: Signature) -> bool:
    """Whether the student carries the ranges of its tensors, so that none need calibration."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    serve = tf.function(_endpoint(signature), autograph=False)
    definition = serve.get_concrete_function(_specs(signature)).graph.as_graph_def()
    nodes = [definition.node, *(function.node_def for function in definition.library.function)]
    return any(node.op.startswith("FakeQuantWithMinMax") for part in nodes for node in part)


def used_weights(signature: Signature) -> list[Any]:
    """Returns the weights that the inference pass reads; off TensorFlow all that there are."""
    weights = signature.student.weights
    if keras.backend.backend() != "tensorflow":
        return weights
    import tensorflow as tf

    serve = tf.function(_endpoint(signature), autograph=False)
    captured = serve.get_concrete_function(_specs(signature)).captured_inputs
    read = {id(tensor) for tensor in captured}
    return [weight for weight in weights if id(weight.value.handle) in read]


def _specs(signature: Signature) -> Any:
    import tensorflow as tf

    flat = [tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in signature.inputs]
    return signature.structured(flat)


def _endpoint(signature: Signature) -> Any:
    def serve(inputs: Any) -> Any:
        flat = keras.tree.flatten(inputs)
        named = signature.call({t.name: x for t, x in zip(signature.inputs, flat)})
        return named[SINGLE_OUTPUT] if list(named) == [SINGLE_OUTPUT] else named

    return serve


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Mutes what Keras 3.8 prints in spite of `verbose`, and TensorFlow's "Assets written to"."""
    logger = logging.getLogger("tensorflow")
    with _STDOUT:
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        finally:
            logger.setLevel(level)
