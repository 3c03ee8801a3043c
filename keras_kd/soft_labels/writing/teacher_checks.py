"""Can this teacher be asked about these data?"""

from typing import Any

import keras
import numpy as np

from keras_kd._errors import reason, refusal
from keras_kd.networks.ports import same_but_for_ones
from keras_kd.soft_labels.augmentation.stages import Augmentation
from keras_kd.soft_labels.views.sources import Arrays, Stream
from keras_kd.soft_labels.writing.writer import Questions
from keras_kd.teachers.asked import asked_teacher
from keras_kd.teachers.teacher import Teacher, check_can_be_asked

__all__ = ["asked", "check_alone", "check_can_mix", "check_inputs", "check_single", "trial"]


def asked(teacher: Any) -> Teacher:
    """Returns the teacher that is asked.

    Raises:
        TypeError: If it cannot be asked.
    """
    return check_can_be_asked("teacher", asked_teacher(teacher, None))


def check_alone() -> None:
    """Raises where a strategy would share each batch among its replicas."""
    import tensorflow as tf

    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        raise refusal(
            "SoftLabels.write must be called outside of a strategy's scope",
            expected="one process that asks the teacher for itself",
            received=f"the scope of {type(tf.distribute.get_strategy()).__name__}",
            mend="Write the labels before, with python -m keras_kd.soft_labels.beam or on the "
            "chief, and call SoftLabels.open here",
        )


def check_can_mix(augmentation: Augmentation, data: Arrays | Stream) -> None:
    """Raises where samples of several shapes would have to be mixed."""
    if augmentation.mixes and not data.fixed:
        raise refusal(
            "Samples that are mixed must have one shape",
            expected="a dataset of images of one size",
            received=f"samples {data.spec}",
            mend="Resize in the dataset, dataset.map(...), before it is given to write",
        )


def check_single(teacher: Teacher, data: Arrays | Stream) -> None:
    """Raises where samples come in batches, or in a list in place of an array."""
    needed = teacher.input_shapes()
    if needed is None:
        return
    if isinstance(data, Arrays) and isinstance(data.x, tuple) and len(data.x) != len(needed):
        raise refusal(
            "data must be an array, or a list with one array for each input of the teacher",
            expected=f"{len(needed)} of them",
            received=f"a list of {len(data.x)}",
            mend="Pass np.stack(images)",
        )
    if isinstance(data, Stream):
        given = _shapes(teacher, data.inputs.element_spec)
        if list(map(len, given)) == list(map(len, needed)) and all(
            map(same_but_for_ones, given, needed)
        ):
            raise refusal(
                "data must be a dataset of single samples",
                expected=f"{[shape[1:] for shape in needed]}",
                received=f"batches {[tuple(shape) for shape in given]}",
                mend="Leave batch() out, or call dataset.unbatch()",
            )


def check_inputs(teacher: Teacher, questions: Questions) -> None:
    """Raises where the augmentation makes other samples than the teacher takes."""
    needed = teacher.input_shapes()
    if needed is None:
        return
    given = [(None, *shape[1:]) for shape in _shapes(teacher, questions.first.images)]
    if len(given) != len(needed) or not all(map(same_but_for_ones, given, needed)):
        raise refusal(
            "data must, after the augmentation, be what the teacher takes",
            expected=f"{needed}",
            received=f"{given}",
            mend="Pass single samples, a dataset without batch(); where the teacher takes "
            "another size, keras_kd.teachers.KerasModel(teacher, preprocess=...)",
        )


def trial(questions: Questions, timed: bool) -> tuple[dict[str, np.ndarray], float]:
    """Returns what `questions.trial` does.

    Raises:
        ValueError: If the teacher cannot be asked.
    """
    try:
        return questions.trial(timed)
    except Exception as error:
        if " Received: " in str(error) and "in user code" not in str(error):
            raise
        raise _not_taken(reason(error)) from error


def _not_taken(received: str) -> ValueError:
    return refusal(
        "The teacher must take what the augmentation makes of data",
        expected="samples of the teacher's own inputs, by the same names",
        received=received,
        mend="Call teacher(x[:1]) by hand",
    )


def _shapes(teacher: Teacher, x: Any) -> list[Any]:
    """Returns the shapes of the teacher's inputs in data: of a dict by name, else in order."""
    try:
        leaves = teacher.inputs.leaves(x)
    except ValueError:
        if isinstance(x, dict):
            raise _not_taken(f"{list(x)} for a teacher of {teacher.input_names()}") from None
        leaves = keras.tree.flatten(x)
    return [leaf.shape for leaf in leaves]
