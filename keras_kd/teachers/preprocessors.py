"""What KerasHub tasks make of raw data, in the input pipeline, before a model sees them.

A task preprocesses in `fit`, `evaluate`, `predict` and the methods for single batches, not when it
is called. Strings never enter a compiled step, so a teacher's preprocessor runs in the pipeline,
too, and what it makes of the raw data rides in the batch.
"""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_kd._errors import refusal
from keras_kd.teachers import batch as batches
from keras_kd.teachers import raw_arrays

__all__ = ["Preprocessing", "explained", "of", "shown"]

_OTHER_LABELS = "The preprocessors of teacher and student must make the same labels"


def of(model: Any) -> Callable | None:
    """Returns `model.preprocess_samples`, or `None` where the model takes its data as they are."""
    if getattr(model, "preprocessor", model) is None:
        return None
    return getattr(model, "preprocess_samples", None)


def shown(preprocess_samples: Callable | None, x: Any) -> Any:
    """Returns the model's input that is made of a batch of raw data."""
    if preprocess_samples is None:
        return x
    return keras.utils.unpack_x_y_sample_weight(preprocess_samples(x))[0]


class Preprocessing:
    """What student and teacher each make of raw data.

    Args:
        student: What `of` says of the student.
        teacher: What `of` says of the teacher; `None` shows it the student's input.
    """

    def __init__(self, student: Callable | None, teacher: Callable | None):
        shared = student and teacher and _preprocessor(student) is _preprocessor(teacher)
        self.of_student, self._teacher = student, None if shared else teacher

    def __bool__(self) -> bool:
        return bool(self.of_student or self._teacher)

    def __call__(self, x: Any, y: Any = None, sample_weight: Any = None) -> tuple:
        """Returns one batch as `(x, y, sample_weight)`, with what the teacher is shown in `x`."""
        raw, made = batches.inputs(x), (batches.inputs(x), y, sample_weight)
        if self.of_student:
            made = keras.utils.unpack_x_y_sample_weight(self.of_student(*made))
        inputs, labels, weights = made
        if batches.carries_answers(x):
            return batches.with_answers(inputs, batches.answers(x)), labels, weights
        if self._teacher:
            shown = keras.utils.unpack_x_y_sample_weight(self._teacher(raw))
            if y is None and labels is not None and shown[1] is not None:
                labels = _same(labels, shown[1])
            inputs = batches.with_teacher_input(inputs, shown[0])
        return inputs, labels, weights

    def of_batch(self, x: Any, y: Any, sample_weight: Any) -> tuple:
        """Returns one batch out of a pipeline, as tensors."""
        try:
            made = self(x, y, sample_weight)
        except Exception as error:
            raise _not_raw(error) from error
        return tuple(
            None if part is None else keras.tree.map_structure(keras.ops.convert_to_tensor, part)
            for part in made
        )

    def dataset(
        self, x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: bool = False
    ) -> Any:
        """Returns a `tf.data.Dataset` of preprocessed batches.

        Args:
            x: Raw data: arrays, lists of strings, or a dataset of batches.
            y: Labels, where `x` is not a dataset.
            sample_weight: Weights, where `x` is not a dataset.
            batch_size: Examples in a batch, of arrays.
            shuffle: Whether each pass has an order of its own, of arrays.
        """
        if not hasattr(x, "element_spec"):
            lists = not self.of_student
            x = raw_arrays.batched(x, y, sample_weight, batch_size, shuffle, lists)
        elif not (y is None and sample_weight is None):
            raise refusal(
                "y and sample_weight must come from the dataset",
                expected="a dataset of (x, y) or (x, y, sample_weight)",
                received="a dataset, and one of them beside it",
                mend="Zip them: tf.data.Dataset.zip((x, y))",
            )
        # Stored answers belong to epochs, which nothing may read ahead of.
        ahead = None if _carries_answers(x) else -1
        try:
            made = x.map(lambda *batch: self(*batch), num_parallel_calls=ahead)
        except Exception as error:
            raise _not_raw(error) from error
        return made.prefetch(ahead) if ahead else made


def _preprocessor(preprocess_samples: Callable) -> Any:
    task = preprocess_samples.__self__
    return getattr(task, "preprocessor", task)


def _carries_answers(dataset: Any) -> bool:
    spec = dataset.element_spec
    return batches.carries_answers(spec[0] if isinstance(spec, tuple) else spec)


def _same(labels: Any, others: Any) -> Any:
    """Returns the labels that the student's preprocessor has made, if the teacher's are equal."""
    import tensorflow as tf

    if tf.is_tensor(labels) and not tf.executing_eagerly():
        if labels.shape.is_compatible_with(others.shape):
            same = tf.debugging.Assert(tf.reduce_all(labels == others), [_OTHER_LABELS])
            with tf.control_dependencies([same]):
                return tf.identity(labels)
    elif np.array_equal(*map(keras.ops.convert_to_numpy, (labels, others))):
        return labels
    raise _other_labels()


def explained(error: Exception) -> Exception | None:
    """Returns what an error of a pipeline says of labels, `None` for other errors."""
    return _other_labels() if _OTHER_LABELS in str(error) else None


def _other_labels() -> ValueError:
    return refusal(
        f"{_OTHER_LABELS}, e.g. the next tokens or the masked ones",
        expected="one tokenizer, one sequence length, the same masks",
        received="other labels from the teacher's",
        mend="Share one preprocessor: teacher.preprocessor = student.preprocessor",
    )


def _not_raw(error: Exception) -> Exception:
    text = str(error)
    if "Expected: " in text and "Received: " in text:
        return explained(error) or error
    # Keras prints what layers say in bold, and their arguments after it.
    said = re.findall(r"\x1b\[1m([^\x1b\n]*)", text) or text.strip().splitlines() or [""]
    return refusal(
        "x must be raw data, as the task's preprocessor takes them",
        expected="what task.fit takes, e.g. strings or pixels",
        received=f"{type(error).__name__}: {said[-1].strip(' .')}"[:200],
        mend="Pass raw data, or set task.preprocessor = None to pass preprocessed ones",
    )
