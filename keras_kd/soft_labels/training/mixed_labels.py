"""Labels that are mixed as their images are."""

from typing import Any

import numpy as np

from keras_kd._errors import message, refusal
from keras_kd.networks import structures
from keras_kd.networks.heads import Head
from keras_kd.networks.label_layouts import COLUMN, IDS, MISSING, ROWS, layout

__all__ = ["LabelMixer"]


class LabelMixer:
    """Mixes a sample's labels with its partner's, by output.

    Class ids become one-hot rows of their output's classes. Where one of the two labels is missing,
    -1 or a row of -1, the mix is a row of -1.

    Args:
        heads: The outputs, by name.
        labels: One sample's labels, or specs of them: a tensor, or a dict or list by output.

    Raises:
        ValueError: If the labels of an output cannot be mixed.
    """

    def __init__(self, heads: dict[str, Head], labels: Any):
        self._heads = heads
        given = structures.by_name(labels, list(heads))
        _check_names(labels, given, list(heads))
        self._classes = {name: _classes(name, heads[name], leaf) for name, leaf in given.items()}

    def check(self, labels: Any) -> None:
        """Raises where arrays have class ids beyond their output's classes."""
        for name, ids in structures.by_name(labels, list(self._heads)).items():
            classes = self._classes.get(name)
            if classes and not (ids.min() >= MISSING and ids.max() < classes):
                raise ValueError(_out_of_range(name, classes, f"{ids.min()} to {ids.max()}"))

    def __call__(self, labels: Any, partners: Any, share: Any) -> Any:
        """Returns the mixed labels, float32, in the structure of the labels.

        Args:
            labels: The samples' own, batched.
            partners: Their partners'.
            share: The part of the own label, `(batch,)`.
        """
        names = list(self._heads)
        own, others = structures.by_name(labels, names), structures.by_name(partners, names)
        mixed = {name: self._mixed(name, own[name], others[name], share) for name in own}
        return structures.replaced(labels, names, mixed)

    def _mixed(self, name: str, own: Any, other: Any, share: Any) -> Any:
        import tensorflow as tf

        own, other = (self._rows(name, part) for part in (own, other))
        share = tf.reshape(share, (-1, *[1] * (own.shape.rank - 1)))
        axes = [-1] if own.shape.rank > 1 else []
        lacks = [tf.reduce_all(part == MISSING, axes, True) for part in (own, other)]
        return tf.where(lacks[0] | lacks[1], float(MISSING), share * own + (1 - share) * other)

    def _rows(self, name: str, labels: Any) -> Any:
        import tensorflow as tf

        classes = self._classes[name]
        if not classes:
            return tf.cast(labels, tf.float32)
        ids = tf.reshape(tf.cast(labels, tf.int64), (-1,))
        fits = tf.debugging.assert_less(
            ids, tf.constant(classes, tf.int64), _out_of_range(name, classes, "others")
        )
        with tf.control_dependencies([fits]):
            return tf.where(ids[:, None] < 0, float(MISSING), tf.one_hot(ids, classes))


def _check_names(labels: Any, given: dict[str, Any], names: list[str]) -> None:
    """Raises where the labels of an output would be left unmixed."""
    if len(given) < len(labels if isinstance(labels, (dict, list, tuple)) else [labels]):
        raise refusal(
            "Labels that are mixed must be of the teacher's outputs, which know the classes",
            expected=f"one tensor, or labels among {names}",
            received=f"{list(labels) if isinstance(labels, dict) else len(labels)}",
            mend="Write the labels with a teacher that has these outputs",
        )


def _classes(name: str, head: Head, labels: Any) -> int | None:
    """Returns the number of classes where labels are class ids, `None` where they are rows."""
    shape, row = tuple(labels.shape), tuple(head.shape[1:])
    dtype = np.dtype(getattr(labels.dtype, "as_numpy_dtype", labels.dtype))
    lie = layout(shape, row)
    if lie == ROWS or (row == (1,) and lie == IDS):
        return None
    if lie in (IDS, COLUMN) and dtype.kind in "iu" and len(row) == 1:
        return head.classes
    raise refusal(
        f"The labels of the output {name!r} must be ids or rows that can be mixed",
        expected=f"integer class ids, or numbers of shape {row}",
        received=f"{dtype.name} of shape {shape} for each sample",
        mend="Pass integer ids or one-hot rows",
    )


def _out_of_range(name: str, classes: int, received: str) -> str:
    return message(
        f"The labels of the output {name!r} must be ids of its classes, or -1 for none",
        expected=f"0 to {classes - 1}",
        received=received,
        mend="Map the labels to 0, 1, ...",
    )
