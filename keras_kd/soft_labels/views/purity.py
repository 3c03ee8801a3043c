"""Is an augmentation pure, and still the one that it was?"""

import hashlib
from typing import Any

import keras
import numpy as np

from keras_kd._errors import message, reason
from keras_kd.soft_labels.views import rows
from keras_kd.soft_labels.views.replay import Replay

_SAMPLES, _VIEWS = 8, 2


def probe(replay: Replay, data: Any) -> str:
    """Returns a hash of what the first samples look like in their first views.

    Args:
        replay: The views.
        data: The source of the samples.

    Raises:
        ValueError: If a sample looks otherwise when it is asked for again, or beside others.
    """
    import tensorflow as tf

    samples, views = min(_SAMPLES, replay.samples), min(_VIEWS, replay.views)
    ids, views = (axis.ravel() for axis in np.meshgrid(np.arange(samples), np.arange(views)))

    def pixels(chosen: Any, shown: Any = replay.pixels) -> list[np.ndarray]:
        given = rows.to_show(rows.taken(replay, data, ids[chosen], views[chosen]))
        try:
            images, share = shown(*given)
        except Exception as error:
            raise _unusable(reason(error)) from error
        _check_share(share)
        # As tensors, so that text is bytes in all of them.
        return [tf.convert_to_tensor(leaf).numpy() for leaf in keras.tree.flatten(images)]

    places = np.arange(len(ids))
    alone = [pixels(places[i : i + 1]) for i in places]
    # What Python draws is frozen into a trace, so another trace tells.
    traced = tf.function(replay.anew().pixels)
    again = [pixels(places[i : i + 1], traced) for i in places[::-1]][::-1]
    _check_same(alone, again, "other pixels when asked again with the same seed")
    if data.fixed:
        together = pixels(places)
        beside = [[leaf[i : i + 1] for leaf in together] for i in places]
        _check_same(alone, beside, "other pixels when other images are in the batch")
    digest = hashlib.sha256()
    for leaves in alone:
        for leaf in leaves:
            digest.update(f"{leaf.dtype} {leaf.shape}".encode())
            digest.update(repr(leaf.tolist()).encode() if leaf.dtype == object else leaf.tobytes())
    return digest.hexdigest()


def _unusable(received: str) -> ValueError:
    return ValueError(
        message(
            "augment must make a sample of a sample and a seed",
            expected="a function of (image, seed) that returns an image; one that mixes returns "
            "(mix, share of the own label)",
            received=received,
            mend="Call it on a few samples by hand; samples that are dicts want a function of "
            "your own",
        )
    )


def _check_share(share: Any) -> None:
    if share is None:
        return
    values = np.asarray(share)
    if values.ndim != 1 or not np.all((values >= 0) & (values <= 1)):
        raise ValueError(
            message(
                "A function that mixes must return the share of each image's own label",
                expected="floats from 0 to 1, (batch,)",
                received=f"{values}",
                mend="Return (mix, share)",
            )
        )


def _check_same(first: list, second: list, received: str) -> None:
    pairs = zip(keras.tree.flatten(first), keras.tree.flatten(second))
    if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs):
        raise ValueError(
            message(
                "augment must be a pure function of image and seed",
                expected="the same pixels for the same image and seed",
                received=received,
                mend="Draw with tf.random.stateless_*(seed=seed) or keras_kd.soft_labels.uniform, "
                "never with tf.random.* or NumPy's generators",
            )
        )
