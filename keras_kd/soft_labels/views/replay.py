"""Which pixels a sample shows in a view: the same whenever they are asked for."""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_kd.soft_labels.augmentation import draws
from keras_kd.soft_labels.augmentation.stages import Augmentation

__all__ = ["Plan", "Replay", "check_bytes", "check_bytes_of_arrays", "shown"]

# So many of an image's values go into its check byte, evenly spread.
_CHECKED = 2048


class Plan(NamedTuple):
    """What is drawn for some (sample, view) pairs, before any pixel is known.

    Attributes:
        seeds: `(pairs, 2)`.
        partners: Ids of the samples that are mixed in, `(pairs,)`.
        partner_seeds: Seeds of the partners' views, `(pairs, 2)`.
    """

    seeds: np.ndarray
    partners: np.ndarray
    partner_seeds: np.ndarray


class Replay:
    """Views of samples as pure functions of (seed, sample id, view).

    Args:
        augmentation: What happens to a sample.
        seed: Seed of all draws.
        samples: The number of samples.
        views: The number of views of each sample.
        pairing: Partners come from so many consecutive samples.
    """

    def __init__(
        self, augmentation: Augmentation, seed: int, samples: int, views: int, pairing: int
    ):
        self.augmentation, self.seed = augmentation, seed
        self.samples, self.views, self.pairing = samples, views, pairing

    def anew(self) -> "Replay":
        """Returns the same views, with an augmentation that is traced anew."""
        again = self.augmentation.anew()
        return Replay(again, self.seed, self.samples, self.views, self.pairing)

    def plan(self, ids: np.ndarray, views: np.ndarray) -> Plan:
        """Returns what is drawn for (sample, view) pairs."""
        seeds = draws.seeds(self.seed, ids, views)
        if not self.augmentation.mixes:
            return Plan(seeds, ids, seeds)
        partners = np.empty_like(ids)
        blocks = ids // self.pairing
        for block, view in {*zip(blocks.tolist(), views.tolist())}:
            chosen = (blocks == block) & (views == view)
            start = block * self.pairing
            size = min(self.pairing, self.samples - start)
            key = int(draws.hashed(self.seed, block, view)[0])
            partners[chosen] = start + draws.permuted(ids[chosen] - start, size, key)
        return Plan(seeds, partners, draws.seeds(self.seed, partners, views))

    def pixels(
        self, x: Any, seeds: Any, partner_x: Any = None, partner_seeds: Any = None
    ) -> tuple[Any, Any]:
        """Returns the views, and the share of the own label in each, `None` where nothing mixes.

        Args:
            x: The samples, batched.
            seeds: Their seeds.
            partner_x: The samples that are mixed in, where any are.
            partner_seeds: Their seeds.
        """
        images = self.augmentation.apply(x, seeds)
        if not self.augmentation.mixes:
            return images, None
        partners = self.augmentation.apply(partner_x, partner_seeds)
        return self.augmentation.mix(images, partners, seeds)


def shown(ids: np.ndarray, views: int, epoch: int, times: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns ids and views of the rows that an epoch shows: view `(epoch + id) mod views`.

    Args:
        ids: Sample ids, `(n,)`.
        views: The number of views.
        epoch: The epoch.
        times: How many views of a sample an epoch shows, one after the other.
    """
    places = np.tile(np.arange(times), len(ids))
    ids = np.repeat(ids, times)
    return ids, (epoch * times + places + ids) % views


def check_bytes(images: Any) -> Any:
    """Returns a byte for each image of a batch, by which other pixels are found out, `(batch,)`."""
    import tensorflow as tf

    total = tf.constant(0, tf.uint32)
    for leaf in keras.tree.flatten(images):
        leaf = tf.reshape(leaf, (tf.shape(leaf)[0], -1))
        step = tf.maximum(tf.shape(leaf)[1] // _CHECKED, 1)
        bits = _bits(leaf[:, ::step])
        factors = tf.cast(tf.range(tf.shape(bits)[1]), tf.uint32) * _u32(2) + _u32(2654435761)
        total = total * _u32(31) + tf.reduce_sum(bits * factors, axis=1)
    total = tf.bitwise.bitwise_xor(total, tf.bitwise.right_shift(total, _u32(16)))
    return tf.cast(tf.bitwise.right_shift(total * _u32(2246822519), _u32(24)), tf.uint8)


def check_bytes_of_arrays(images: Any) -> np.ndarray:
    """Returns what `check_bytes` does, of arrays of numbers and without TensorFlow's overhead."""
    total = np.uint32(0)
    for leaf in keras.tree.flatten(images):
        leaf = leaf.reshape(len(leaf), -1)
        part = leaf[:, :: max(leaf.shape[1] // _CHECKED, 1)]
        if leaf.dtype.kind == "f":
            with np.errstate(over="ignore"):
                part = np.ascontiguousarray(part, "float32").view("uint32")
        bits = part.astype("uint32", copy=False)
        factors = np.arange(bits.shape[1], dtype="uint32") * np.uint32(2) + np.uint32(2654435761)
        total = total * np.uint32(31) + (bits * factors).sum(axis=1, dtype="uint32")
    total = (total ^ (total >> np.uint32(16))) * np.uint32(2246822519)
    return (total >> np.uint32(24)).astype("uint8")


def _u32(number: int) -> Any:
    import tensorflow as tf

    return tf.constant(number, tf.uint32)


def _bits(values: Any) -> Any:
    import tensorflow as tf

    if values.dtype == tf.string:
        return tf.cast(tf.strings.to_hash_bucket_fast(values, 2**32 - 1), tf.uint32)
    if values.dtype.is_floating:
        return tf.bitcast(tf.cast(values, tf.float32), tf.uint32)
    return tf.cast(tf.cast(values, tf.int64), tf.uint32)
