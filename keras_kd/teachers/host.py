"""Teachers that live outside of Keras: what they answer is computed from NumPy arrays."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._errors import check_callable, check_choice, refusal
from keras_kd.networks.heads import KINDS, Head, invert
from keras_kd.networks.ports import Inputs, Port
from keras_kd.teachers.class_order import ClassOrder
from keras_kd.teachers.teacher import Teacher

__all__ = ["HostTeacher", "check_not_percent", "kind_of"]

_OUTPUT = "output"
_NEAR = 1e-3  # by which rows of probabilities may miss a sum of 1


class HostTeacher(Teacher):
    """A teacher with one output of classes, which is asked with NumPy arrays.

    TensorFlow's graphs call it on the host; XLA, JAX and PyTorch cannot. Of probabilities the
    logarithm is taken.

    Args:
        name: What it is called.
        head: `"logits"`, `"softmax"` or `"sigmoid"`, or `None` where nobody has said.
        preprocess: Function from the student's input to the teacher's, arrays in both cases.
        classes: The student's class of each of the teacher's; see `ClassOrder`.
        inputs: Its inputs, `None` where they are not known.
        width: How many classes it has, where that is known.

    Raises:
        TypeError: If `preprocess` cannot be called, or `classes` are not integers.
        ValueError: If `head` or `classes` are not what they may be.
    """

    on_host = True

    def __init__(
        self,
        name: str,
        head: str | None,
        preprocess: Callable[[Any], Any] | None,
        classes: Sequence[int | None] | None,
        *,
        inputs: Inputs | None = None,
        width: int | None = None,
    ):
        if preprocess is not None:
            rule = "map the student's input to the teacher's"
            check_callable("preprocess", preprocess, rule, mend="Pass a function of arrays")
        self.name, self.preprocess, self.inputs = name, preprocess, inputs
        self._order = ClassOrder(classes)
        self._raised: Exception | None = None
        self.keyed = False
        self._describe_output(None if head is None else check_choice("head", head, KINDS), width)

    def _describe_output(self, kind: str | None, width: int | None) -> None:
        count = self._order.count(width)
        self._kind, self._width = kind, width or self._order.given
        shape = None if count is None else (None, count)
        self.heads = {_OUTPUT: Head(kind, shape)}
        self.outputs = [Port(_OUTPUT, False, shape)]
        self.inverted = {_OUTPUT: kind in ("softmax", "sigmoid")}

    def _answers(self, x: Any) -> Any:
        """Returns the outputs `(batch, classes)` for arrays in the teacher's own form."""
        raise NotImplementedError

    def _content(self) -> str:
        """Returns what tells what it computes from what others do."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Returns a hash of what it computes, of its head and of the order of its classes."""
        parts = type(self).__name__, self._content(), self._kind, self._order.of_student
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def described(self) -> str:
        """Returns the function that answers, and where it runs."""
        return f"{self.name}, a {type(self).__name__} asked on the host; neither trained nor saved"

    def predict(self, x: Any) -> dict[str, np.ndarray]:
        """Returns the logits of one batch of arrays.

        Raises:
            ValueError: If it is not known what the outputs are, or they are not `(batch, classes)`.
        """
        if self._kind is None:
            raise self._wrong(
                "head must be given, because what {} answers does not show it",
                "head='logits', 'softmax' or 'sigmoid'",
                "None",
                "Pass head= where the teacher is made",
            )
        return {_OUTPUT: np.asarray(ops.convert_to_numpy(self._logits(self._outputs(x))))}

    def __call__(
        self, x: Any, names: list[str], values: Sequence[tuple[keras.Variable, Any]] = ()
    ) -> dict[str, Any]:
        """Returns the logits by the student's output names."""
        logits = self._logits(self._in_graph(self._shown(x) if self._shown else x))
        return dict.fromkeys(self.taught_by(names), logits)

    def explained(self, error: Exception) -> Exception | None:
        """Returns the error that was raised on the host, of which TensorFlow gives the text."""
        raised, self._raised = self._raised, None
        return raised if raised is not None and str(raised) in str(error) else None

    def matched(
        self,
        outputs: dict[str, str],
        shown: Callable[[Any], Any] | None = None,
        classes: dict[str, int | None] | None = None,
    ) -> "HostTeacher":
        """Returns a teacher of a certain student, whose classes are its own."""
        twin = super().matched(outputs, shown)
        if twin._width is None:
            twin._width = (classes or {}).get(_OUTPUT)
        return twin

    def _in_graph(self, x: Any) -> Any:
        """Returns the outputs for a batch of tensors."""
        import tensorflow as tf

        def answers(*leaves: np.ndarray) -> np.ndarray:
            for leaf in leaves:
                leaf.setflags(write=False)  # the student sees the same memory
            return self._outputs(keras.tree.pack_sequence_as(x, list(leaves)))

        leaves = keras.tree.flatten(x)
        outputs = tf.numpy_function(self._noting_errors(answers), leaves, tf.float32)
        outputs.set_shape((None, self._width))
        return outputs

    def _noting_errors(self, function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        """Returns a function for the host whose error `explained` gives back."""

        def noting(*arrays: np.ndarray) -> np.ndarray:
            try:
                return function(*arrays)
            except Exception as error:
                self._raised = error
                raise

        return noting

    def _outputs(self, x: Any) -> np.ndarray:
        """Returns the checked outputs for a batch of arrays, `(batch, classes)` in float32."""
        count = _rows(x)
        if count == 0:  # of a replica that gets none of a small batch
            return np.empty((0, self._width or 1), "float32")
        if self.preprocess is not None:
            x = keras.tree.map_structure(np.asarray, self.preprocess(x))
            if _rows(x) != count:
                raise self._wrong(
                    "preprocess of {} must keep the batch size",
                    f"{count} samples",
                    f"{_rows(x)}",
                    "Let it change the samples one by one",
                )
        return self._asked_about(self.inputs.fed(x) if self.inputs is not None else x)

    def _asked_about(self, x: Any) -> np.ndarray:
        """Returns the checked outputs for arrays in the teacher's own form."""
        count, outputs = _rows(x), np.asarray(self._answers(x))
        width = outputs.shape[-1] if self._width is None else self._width
        if outputs.shape != (count, width) or outputs.dtype.kind not in "fiu":
            raise self._wrong(
                "Answers of {} must be numbers, one row for each sample",
                f"shape {(count, self._width or 'classes')}",
                f"shape {outputs.shape} of {outputs.dtype}",
                "Return an array (batch, classes)",
            )
        self._check_kind(outputs)
        return outputs.astype("float32", copy=False)

    def _check_kind(self, outputs: np.ndarray) -> None:
        """Raises where the head that was named cannot have given the outputs."""
        check_not_percent(outputs, f"Answers of {self.name!r}")
        found = kind_of(outputs)
        if {found, self._kind} == {"logits", "softmax"} or (found, self._kind) == (
            "logits",
            "sigmoid",
        ):
            seen = {"logits": "numbers outside of 0 and 1", "softmax": "rows that add up to 1"}
            raise self._wrong(
                f"head of {{}} must be {found!r}, which its answers are",
                f"head={found!r}",
                f"head={self._kind!r}, and {seen[found]}",
                "Say what the outputs are",
            )

    def _logits(self, outputs: Any) -> Any:
        """Returns the logits of outputs, in the student's order of classes."""
        return self._order(invert(self._kind, outputs) if self.inverted[_OUTPUT] else outputs)

    def _wrong(self, what: str, expected: str, received: str, mend: str) -> ValueError:
        what = what.format(repr(self.name))
        return refusal(what, expected=expected, received=received, mend=mend)


def kind_of(outputs: np.ndarray) -> str | None:
    """Returns what outputs are for certain: `"softmax"`, `"logits"`, or `None`.

    Rows of two or more numbers of at least 0 that add up to 1 come from a softmax; numbers outside
    of 0 and 1 are not probabilities. All else may be logits or the answers of sigmoids.
    """
    if (outputs < 0).any() or (outputs > 1 + _NEAR).any():
        return "logits"
    sums = outputs.sum(axis=-1, dtype="float64")
    several = len(outputs) > 0 and outputs.shape[-1] > 1
    return "softmax" if several and (abs(sums - 1) < _NEAR).all() else None


def check_not_percent(outputs: np.ndarray, whose: str) -> None:
    """Raises where each row of outputs is of at least 0 and adds up to 100.

    Raises:
        ValueError: If it is so.
    """
    sums = outputs.sum(axis=-1, dtype="float64")
    several = len(outputs) > 0 and outputs.shape[-1] > 1
    if several and (outputs >= 0).all() and (abs(sums - 100) < 100 * _NEAR).all():
        expected, received = "rows that add up to 1, or logits", "rows that add up to 100"
        what, mend = f"{whose} must not be in percent", "Divide them by 100"
        raise refusal(what, expected=expected, received=received, mend=mend)


def _rows(x: Any) -> int:
    return len(keras.tree.flatten(x)[0])
