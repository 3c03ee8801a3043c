"""A SavedModel that teaches."""

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._errors import refusal, shown, wrong
from keras_kd._extras import require_tensorflow
from keras_kd._files import existing
from keras_kd.networks.ports import Inputs, Port
from keras_kd.teachers.files import chosen, is_of_classes
from keras_kd.teachers.host import HostTeacher

__all__ = ["SavedModel"]

_USUAL = ("serve", "serving_default")  # of Keras, of everybody else


class SavedModel(HostTeacher):
    """A folder in TensorFlow's SavedModel format, of Keras 3, tf_keras or TensorFlow itself.

    It is asked through one of its signatures: online on TensorFlow, and everywhere when soft labels
    are written.

    Args:
        path: The folder.
        head: What its outputs are: `"logits"`, or the probabilities of a `"softmax"` or a
            `"sigmoid"`.
        preprocess: Function in TensorFlow or `keras.ops`, or a layer, from the student's input to
            the signature's; a dict by name where that takes several. The batch size stays.
        classes: The student's class id of each of the teacher's classes, in the teacher's order;
            `None` in it for one that the student does not have.
        signature: The name of the signature. Default: `"serve"`, else `"serving_default"`, else the
            only one that can be asked.
        output: The name of the output to learn from, where the signature has several of classes.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is not a SavedModel, has no signature that takes batches of any size and
            gives `(batch, classes)`, or `classes` has unknown, missing or repeated ones.

    Example:
    >>> teacher = keras_kd.teachers.SavedModel("teacher/", head="softmax")
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        head: str | None = None,
        preprocess: Callable[[Any], Any] | None = None,
        classes: Sequence[int | None] | None = None,
        *,
        signature: str | None = None,
        output: str | None = None,
    ):
        require_tensorflow("A SavedModel")
        import tensorflow as tf

        self._path = existing(path, "a folder with a SavedModel")
        try:
            self._loaded = tf.saved_model.load(os.fspath(path))  # keeps the variables alive
        except Exception as error:
            rule, received = "name a folder with a SavedModel", str(error).splitlines()[0]
            mend = "Write one with model.export(path)"
            raise wrong("path", rule, received, expected=str(path), mend=mend) from error
        signatures = dict(self._loaded.signatures)
        self._signature_name = _signature(signatures, signature)
        self._signature = signatures[self._signature_name]
        self._specs = self._signature.structured_input_signature[1]
        ports = [
            Port(name, True, _shape(spec), spec.dtype.name) for name, spec in self._specs.items()
        ]
        self._mark = f"another batch size in SavedModel {self._path.name}"
        self._cast_mark = f"values that do not fit SavedModel {self._path.name}"
        self._given = Inputs.named(self._path.name, ports)
        self._output, width = chosen(_outputs(self._signature), output)
        self._compiled = tf.function(self._in_graph, reduce_retracing=True)
        known = all(port.shape is not None for port in ports)
        inputs = self._given if known else None
        super().__init__(self._path.name, head, preprocess, classes, inputs=inputs, width=width)

    def _content(self) -> str:
        digest = hashlib.sha256()
        for file in sorted(self._path.rglob("*")):
            if file.is_file() and file.name != "fingerprint.pb":
                digest.update(f"{file.relative_to(self._path).as_posix()} ".encode())
                digest.update(file.read_bytes())
        return f"{digest.hexdigest()} {self._signature_name} {self._output}"

    def _outputs(self, x: Any) -> np.ndarray:
        import tensorflow as tf

        try:
            outputs = self._compiled(keras.tree.map_structure(tf.convert_to_tensor, x)).numpy()
        except tf.errors.InvalidArgumentError as error:
            raise self.explained(error) or error from None
        return outputs

    def _in_graph(self, x: Any) -> Any:
        # As TensorFlow's own graph: a call on the host would wait for threads that it occupies.
        import tensorflow as tf

        count = tf.shape(keras.tree.flatten(x)[0])[0]
        if self.preprocess is not None:
            x = self.preprocess(x)
        named = zip(self._given.ports, self._given.leaves(x))
        outputs = self._signature(**{port.name: self._cast(leaf, port) for port, leaf in named})
        outputs = tf.cast(outputs[self._output], tf.float32)
        kept = tf.debugging.assert_equal(tf.shape(outputs)[0], count, self._mark)
        with tf.control_dependencies([] if kept is None else [kept]):
            outputs = tf.numpy_function(self._noting_errors(self._seen), [outputs], tf.float32)
        return tf.ensure_shape(outputs, (None, self._width))

    def _seen(self, outputs: np.ndarray) -> np.ndarray:
        self._check_kind(outputs)
        return outputs

    def _cast(self, leaf: Any, port: Port) -> Any:
        """Returns an input in the signature's dtype, into which no fraction fits by chance."""
        import tensorflow as tf

        cast = tf.cast(leaf, port.dtype)
        if not leaf.dtype.is_floating or cast.dtype.is_floating:
            return cast
        kept = tf.debugging.assert_equal(tf.cast(cast, leaf.dtype), leaf, self._cast_mark)
        with tf.control_dependencies([] if kept is None else [kept]):
            return tf.identity(cast)

    def explained(self, error: Exception) -> Exception | None:
        """Returns what an error of the graph means, where it came from one of its checks."""
        if self._cast_mark in str(error):
            dtypes = {port.name: port.dtype for port in self._given.ports}
            return self._wrong(
                "What {} is shown must fit the dtypes of its signature",
                f"whole numbers, {dtypes}",
                "numbers with a fraction, or out of range",
                "Pass preprocess=, e.g. lambda x: 255 * x",
            )
        if self._mark not in str(error):
            return super().explained(error)
        return self._wrong(
            "preprocess and signature of {} must keep the batch size",
            "as many answers as samples",
            "another number",
            "Let preprocess change the samples one by one",
        )


def _signature(signatures: dict[str, Any], name: str | None) -> str:
    """Returns the name of the signature that was named, or is to be taken."""
    usable = [key for key, function in signatures.items() if _is_usable(function)]
    if name is None and (len(usable) == 1 or set(_USUAL) & set(usable)):
        name = next((usual for usual in _USUAL if usual in usable), usable[0])
    if name in usable:
        return name
    seen = {key: _in_words(function) for key, function in signatures.items()}
    raise refusal(
        "signature must name one from batches of any size to (batch, classes)",
        expected=f"one of {usable}" if usable else "a SavedModel that has one",
        received=f"{name!r}, of {shown(seen)}",
        mend=f"Pass e.g. signature={usable[0]!r}" if usable else "Write it with model.export",
    )


def _is_usable(function: Any) -> bool:
    shapes = [_shape(spec) for spec in function.structured_input_signature[1].values()]
    takes = bool(shapes) and all(shape is None or shape[:1] == (None,) for shape in shapes)
    return takes and any(map(is_of_classes, _outputs(function).values()))


def _outputs(function: Any) -> dict[str, Any]:
    """Returns the shapes of the outputs that are numbers with a fraction."""
    outputs = function.structured_outputs
    return {key: _shape(spec) for key, spec in outputs.items() if spec.dtype.is_floating}


def _in_words(function: Any) -> str:
    sides = function.structured_input_signature[1], function.structured_outputs
    return " -> ".join(str({key: _shape(spec) for key, spec in side.items()}) for side in sides)


def _shape(spec: Any) -> tuple[int | None, ...] | None:
    return None if spec.shape.rank is None else tuple(spec.shape)
