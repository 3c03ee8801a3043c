"""Is an augmentation pure, and still the one that it was?"""

import functools
import hashlib
from typing import Any

import keras
import numpy as np

from keras_kd._errors import reason, refusal
from keras_kd.soft_labels.views import rows
from keras_kd.soft_labels.views.replay import Replay

__all__ = ["probe"]

_SAMPLES, _VIEWS = 8, 2


def probe(replay: Replay, data: Any) -> str:
    """Returns a hash of what the first samples look like in their first views.

    Args:
        replay: The views.
        data: The source of the samples.

    Raises:
        ValueError: If a sample looks otherwise when it is asked for again, or beside others.
    """
    samples, views = min(_SAMPLES, replay.samples), min(_VIEWS, replay.views)
    ids, views = (axis.ravel() for axis in np.meshgrid(np.arange(samples), np.arange(views)))

    def given(chosen: slice) -> tuple[Any, ...]:
        return rows.to_show(rows.taken(replay, data, ids[chosen], views[chosen]))

    singles = [given(slice(i, i + 1)) for i in range(len(ids))]
    digest = _digest([_shown(replay, single) for single in singles])
    if not replay.augmentation.stages:
        return digest
    together = [given(slice(None))] if data.fixed else []
    first = _piped(replay, [*singles, *together])
    # What Python draws is frozen into a trace, so another trace tells. One batch more at the
    # beginning shifts what a generator with a fixed seed draws for the others.
    again = _piped(replay.anew(), [singles[-1], *singles[::-1]])[:0:-1]
    _check_same(first[: len(ids)], again, "other pixels when asked again with the same seed")
    if together:
        beside = [[leaf[i : i + 1] for leaf in first[-1]] for i in range(len(ids))]
        _check_same(again, beside, "other pixels when other images are in the batch")
    return digest


def _shown(replay: Replay, batch: tuple[Any, ...]) -> list[np.ndarray]:
    """Returns the views of some rows, by leaf, in eager mode."""
    import tensorflow as tf

    try:
        with tf.device("CPU:0"):  # where pipelines run
            images, share = replay.pixels(*batch)
    except Exception as error:
        raise _unusable(reason(error)) from error
    _check_share(share)
    # As tensors, so that text is bytes in all of them.
    return [tf.convert_to_tensor(leaf).numpy() for leaf in keras.tree.flatten(images)]


def _piped(replay: Replay, batches: list[tuple[Any, ...]]) -> list[list[np.ndarray]]:
    """Returns the views of batches of rows, by leaf, as the pipelines for teacher and student do.

    Graphs are rewritten there otherwise than in a `tf.function`, and not at all in eager mode:
    `x / 255` may differ between these in its last bit, and is pure nevertheless.
    """
    import tensorflow as tf

    def show(*leaves: Any) -> tuple[Any, ...]:
        images, _ = replay.pixels(*keras.tree.pack_sequence_as(batches[0], leaves))
        return tuple(keras.tree.flatten(images))

    parts = [tf.data.Dataset.from_tensors(tuple(keras.tree.flatten(batch))) for batch in batches]
    dataset = functools.reduce(lambda before, part: before.concatenate(part), parts)
    try:
        return [list(leaves) for leaves in dataset.map(show).as_numpy_iterator()]
    except Exception as error:
        raise _unusable(reason(error)) from error


def _digest(views: list[list[np.ndarray]]) -> str:
    digest = hashlib.sha256()
    for leaves in views:
        for leaf in leaves:
            digest.update(f"{leaf.dtype} {leaf.shape}".encode())
            digest.update(repr(leaf.tolist()).encode() if leaf.dtype == object else leaf.tobytes())
    return digest.hexdigest()


def _unusable(received: str) -> ValueError:
    return refusal(
        "augment must make a sample of a sample and a seed",
        expected="a function of (image, seed) that returns an image; one that mixes returns "
        "(mix, share of the own label)",
        received=received,
        mend="Call it on a few samples by hand; samples that are dicts want a function of your own",
    )


def _check_share(share: Any) -> None:
    if share is None:
        return
    values = np.asarray(share)
    if values.ndim != 1 or not np.all((values >= 0) & (values <= 1)):
        raise refusal(
            "A function that mixes must return the share of each image's own label",
            expected="floats from 0 to 1, (batch,)",
            received=f"{values}",
            mend="Return (mix, share)",
        )


def _check_same(first: list, second: list, received: str) -> None:
    pairs = zip(keras.tree.flatten(first), keras.tree.flatten(second))
    if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs):
        raise refusal(
            "augment must be a pure function of image and seed",
            expected="the same pixels for the same image and seed",
            received=received,
            mend="Draw with tf.random.stateless_*(seed=seed) or keras_kd.soft_labels.uniform, "
            "never with tf.random.* or NumPy's generators",
        )
