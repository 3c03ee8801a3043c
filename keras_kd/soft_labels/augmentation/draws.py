"""Random draws that are pure functions of (seed, sample id, view, draw index).

No generator keeps a state, so that the same sample and view give the same draws in any order, in
any batch and in any process. All of it is arithmetic on 64-bit integers: the bits depend on no
device, no vector width and no release of a library.
"""

import math
from typing import Any

import numpy as np

from keras_kd._errors import check_integer

__all__ = ["check_seed", "folded", "hashed", "permuted", "seeds", "uniform"]

# Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
_GAMMA = 0x9E3779B97F4A7C15
_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31
_FOLD = 0xD1B54A32D192ED03  # sets the seeds of stages apart from the draws within one
_WORD = (1 << 64) - 1
_ROUNDS = 10


def check_seed(seed: Any) -> int:
    """Returns a seed, which must be an integer of 63 bits.

    `hashed` folds others into 64 bits, where two of them could come to be the same.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is out of range.
    """
    return check_integer("seed", seed, 0, 2**63 - 1)


def _finalized(state: np.ndarray) -> np.ndarray:
    for shift, factor in _STEPS:
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return state ^ (state >> np.uint64(_LAST_SHIFT))


def hashed(seed: int, *words: Any) -> np.ndarray:
    """Returns a 64-bit hash of `seed` and one integer from each of `words`.

    Args:
        seed: Any integer; its lowest 64 bits count.
        words: Integers or arrays of integers, broadcast against each other.

    Returns:
        uint64 array of the broadcast shape. For any two distinct values of one word, the others
        kept, the hashes differ.
    """
    state = _finalized(np.array([(int(seed) + _GAMMA) & _WORD], np.uint64))
    for word in words:
        word = np.atleast_1d(np.asarray(word)).astype(np.uint64)
        state = _finalized((state ^ word) + np.uint64(_GAMMA))
    return state


def seeds(seed: int, ids: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Returns the seed of each (sample, view).

    Args:
        seed: The seed of the whole data set.
        ids: Sample ids, integers `(n,)`.
        views: View numbers, integers `(n,)` or one for all.

    Returns:
        int32 array `(n, 2)`, each row a seed for `tf.random.stateless_*` and for `uniform`.
    """
    state = hashed(seed, ids, views)
    halves = np.stack([state & np.uint64(0xFFFFFFFF), state >> np.uint64(32)], axis=-1)
    return halves.astype(np.uint32).view(np.int32)


def permuted(positions: np.ndarray, size: int, key: int) -> np.ndarray:
    """Returns where a permutation of `range(size)` sends each position.

    A Feistel network on `Z_a x Z_b` with `a = ⌈√size⌉` and `a·b` just above `size`; a value
    outside of the range is sent on until it falls within. Each position costs the same whatever
    the size, and none needs the others.

    Args:
        positions: Integers from 0 to `size - 1`, any shape.
        size: Length of the range.
        key: Any integer; each names one permutation.

    Returns:
        int64 array of the shape of `positions`.

    Reference:
        - [Black and Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002](
            https://doi.org/10.1007/3-540-45760-7_9)
    """
    width = math.isqrt(size - 1) + 1
    height = -(-size // width)
    result = np.array(positions, np.uint64)
    flat = result.reshape(-1)
    keys = hashed(key, np.arange(_ROUNDS))
    outside = np.arange(flat.size)
    while outside.size:
        flat[outside] = _feistel(flat[outside], np.uint64(width), np.uint64(height), keys)
        outside = outside[flat[outside] >= size]
    return result.astype(np.int64)


def _feistel(values: np.ndarray, width: Any, height: Any, keys: np.ndarray) -> np.ndarray:
    one, other = values % width, values // width
    moduli = width, height
    for number, key in enumerate(keys):
        moved = (one + _finalized(other ^ key) % moduli[number % 2]) % moduli[number % 2]
        one, other = other, moved
    return one + other * width


def uniform(seeds: Any, draw: int, shape: tuple[int, ...] = ()) -> Any:
    """Returns uniform random numbers, each a pure function of its seed, `draw` and its place.

    Args:
        seeds: int32 tensor `(batch, 2)`, or `(2,)` for a single sample.
        draw: Which draw of the augmentation this is, an integer of at least 0. Draws of other
            numbers are independent.
        shape: Shape of the numbers that each sample gets. Default: one number.

    Returns:
        float32 tensor `(batch, *shape)`, or `shape` for a single sample: multiples of `2**-24` in
        `[0, 1)`. The bits depend on neither the batch nor the device.

    Example:
    >>> seeds = np.arange(6, dtype="int32").reshape(3, 2)
    >>> keras_kd.soft_labels.uniform(seeds, draw=0, shape=(2,)).shape
    TensorShape([3, 2])
    """
    import tensorflow as tf

    counters = np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    stream = _finalized_tensor(_joined(seeds) + _constant((draw + 1) * _GAMMA))
    words = _finalized_tensor(stream[..., tf.newaxis] + tf.constant(counters))
    bits = tf.cast(tf.bitwise.right_shift(words, _constant(40)), tf.int32)
    numbers = tf.cast(bits, tf.float32) * 2.0**-24
    return tf.reshape(numbers, [*(-1 if n is None else n for n in stream.shape), *shape])


def folded(seeds: Any, number: int) -> Any:
    """Returns the seeds of one stage of a composition: independent of those of the others.

    Args:
        seeds: int32 tensor `(batch, 2)`, or `(2,)` for a single sample.
        number: Which stage, an integer of at least 0.

    Returns:
        int32 tensor of the shape of `seeds`.
    """
    import tensorflow as tf

    state = tf.bitwise.bitwise_xor(_joined(seeds), _constant((number + 1) * _FOLD))
    return tf.bitcast(_finalized_tensor(state), tf.int32)


def _joined(seeds: Any) -> Any:
    import tensorflow as tf

    return tf.bitcast(tf.convert_to_tensor(seeds, tf.int32), tf.uint64)


def _finalized_tensor(state: Any) -> Any:
    import tensorflow as tf

    def xor_shifted(state, shift):
        return tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, _constant(shift)))

    for shift, factor in _STEPS:
        state = xor_shifted(state, shift) * _constant(factor)
    return xor_shifted(state, _LAST_SHIFT)


def _constant(number: int) -> Any:
    import tensorflow as tf

    return tf.constant(np.uint64(number & _WORD))
