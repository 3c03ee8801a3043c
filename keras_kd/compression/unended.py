"""Pruning schedules that have begun and not ended."""

import warnings

import keras

from keras_kd import _keras
from keras_kd.compression.compressed import Compressed
from keras_kd.compression.pruning import Prune

__all__ = ["warn_of_unended"]


def warn_of_unended(student: keras.Model, consequence: str, *, is_last: bool = False) -> None:
    """Warns where training has stopped in the middle of a pruning schedule.

    A schedule that has not begun is left to the training that follows: methods may be composed
    first and trained together.

    Args:
        student: The student.
        consequence: What comes of it, a sentence.
        is_last: Whether no training follows, so that a schedule should have begun, too.
    """
    places = {
        each.place()
        for layer in _keras.all_layers(student)
        if isinstance(layer, Compressed)
        for each in layer.transforms
        if isinstance(each, Prune)
    }
    for done, steps in sorted(places):
        if (0 if is_last else 1) <= done < steps:
            warnings.warn(
                f"The pruning schedule of {student.name!r} is at step {done} of {steps}. "
                f"{consequence} Train it to the end of the schedule first, or prune with fewer "
                "steps.",
                stacklevel=4,
            )
            return
