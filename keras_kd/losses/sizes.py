"""Sizes that TensorFlow learns from the batch alone are compared when the step runs."""

from typing import Any

from keras import ops

from keras_kd._errors import message

__all__ = ["same_positions", "same_sizes"]


def same_sizes(teacher: Any, student: Any) -> Any:
    """Returns the teacher's signal, which is refused at run time where sizes do not agree.

    Sizes that are not known when the step is traced must not be broadcast either.
    """
    if None not in teacher.shape[1:] and None not in student.shape[1:]:
        return teacher
    import tensorflow as tf

    rule = message(
        "Teacher's and student's signals must fit the loss of a term",
        expected="the same sizes in each batch",
        received=f"others, at {tf.get_current_name_scope()}",
        mend="Pass projector='auto', or models with known sizes",
    )
    same = tf.debugging.assert_equal(tf.shape(teacher), tf.shape(student), rule)
    with tf.control_dependencies([] if same is None else [same]):
        return tf.stack([teacher, student])[0]  # XLA drops assertions, and stacks no other sizes


def same_positions(teacher: Any, student: Any) -> Any:
    """Returns the teacher's signal, refused as in `same_sizes`; the channels are free."""
    if None not in teacher.shape[1:-1] and None not in student.shape[1:-1]:
        return teacher
    first = same_sizes(teacher[..., :1], student[..., :1])
    return ops.concatenate([first, teacher[..., 1:]], axis=-1)
