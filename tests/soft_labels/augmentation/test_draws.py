import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_kd.soft_labels.augmentation.draws import folded, hashed, permuted, seeds, uniform

WORD = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
tensorflow = pytest.mark.tensorflow

PERMUTED_24 = [3, 21, 19, 9, 16, 5, 1, 14, 18, 23]
PERMUTED_50_000 = [[17934, 11684], [41783, 22420]]
UNIFORM = [[760201.0, 10508439.0], [10234500.0, 12163894.0]]
FOLDED = [[1181142376, 1242086294], [-1458199385, 824266106]]


def splitmix(state):
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
    return state ^ (state >> 31)


def hash_of(seed, *words):
    state = splitmix((seed + GAMMA) & WORD)
    for word in words:
        state = splitmix(((state ^ (word & WORD)) + GAMMA) & WORD)
    return state


def signed_halves(state):
    return [half - (half >> 31 << 32) for half in (state & 0xFFFFFFFF, state >> 32)]


def test_the_mixing_is_splitmix64():
    # The first two outputs of the authors' code from state 0.
    assert hashed(0)[0] == 0xE220A8397B1DCDAF
    assert hashed(GAMMA)[0] == 0x6E789E6AA1B965F4


@given(st.integers(-(2**70), 2**70), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3))
def test_hashes_follow_the_formula(seed, words):
    assert hashed(seed, *words)[0] == hash_of(seed, *words)


def test_seeds_never_change():
    assert seeds(7, np.arange(3), np.array([0, 1, 2])).tolist() == [
        [1639734648, -1677637743],
        [979252870, -901484540],
        [924811010, -1895978527],
    ]
    assert seeds(7, np.array([2]), np.array([2])).tolist() == [signed_halves(hash_of(7, 2, 2))]


def test_seeds_know_nothing_of_their_neighbours():
    ids, views = np.arange(1000), np.arange(1000) % 7
    order = np.random.default_rng(0).permutation(1000)
    both = seeds(3, ids, views)
    assert both.dtype == np.int32
    assert both.shape == (1000, 2)
    np.testing.assert_array_equal(seeds(3, ids[order], views[order]), both[order])
    np.testing.assert_array_equal(seeds(3, ids, 4)[5], seeds(3, [5], [4])[0])


def test_each_sample_and_view_has_a_seed_of_its_own():
    ids, views = np.divmod(np.arange(400_000), 4)
    both = np.concatenate([seeds(seed, ids, views) for seed in (0, 1)]).view(np.int64)
    assert len(np.unique(both)) == 800_000


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers())
def test_a_permutation_reaches_each_place_once(size, key):
    places = permuted(np.arange(size), size, key)
    assert places.dtype == np.int64
    np.testing.assert_array_equal(np.sort(places), np.arange(size))


@pytest.mark.parametrize("size", [1, 2, 3, 24, 50_000, 2_000_000])
def test_a_permutation_reaches_each_place_once_at_any_size(size):
    places = permuted(np.arange(size), size, key=5)
    assert np.bincount(places, minlength=size).tolist() == [1] * size


def test_permutations_never_change():
    assert permuted(np.arange(10), 24, 0).tolist() == PERMUTED_24
    assert permuted([[0, 1], [2, 3]], 50_000, 1).tolist() == PERMUTED_50_000


def test_permutations_are_read_at_random():
    whole = permuted(np.arange(5000), 5000, 9)
    some = np.random.default_rng(0).integers(0, 5000, (20, 3))
    np.testing.assert_array_equal(permuted(some, 5000, 9), whole[some])


@pytest.mark.parametrize("key", [0, 1, -1, 2**40])
def test_permutations_look_random(key):
    size = 50_000
    start = np.arange(size)
    places = permuted(start, size, key)
    moved = np.abs(places - start)
    assert np.count_nonzero(moved == 0) <= 6  # Poisson of mean 1
    # Uniform pairs are size/3 apart, with a standard deviation of size/√18.
    assert abs(moved.mean() - size / 3) < 5 * size / np.sqrt(18 * size)
    assert abs(np.corrcoef(start, places)[0, 1]) < 5 / np.sqrt(size)
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 5 / np.sqrt(size)
    assert abs(np.corrcoef(places, permuted(start, size, key + 1))[0, 1]) < 5 / np.sqrt(size)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_all_orders_are_as_likely(size):
    keys = 6000
    orders = Counter(tuple(permuted(np.arange(size), size, key)) for key in range(keys))
    possible = list(itertools.permutations(range(size)))
    mean = keys / len(possible)
    chi_square = sum((orders[order] - mean) ** 2 / mean for order in possible)
    degrees = len(possible) - 1
    assert chi_square < degrees + 5 * np.sqrt(2 * degrees)


@tensorflow
def test_uniform_numbers_follow_the_formula():
    numbers = uniform(seeds(7, np.arange(3), 0), 2, (2, 2)).numpy()
    assert numbers.dtype == np.float32
    for sample in range(3):
        stream = splitmix((hash_of(7, sample, 0) + 3 * GAMMA) & WORD)
        words = [splitmix((stream + count * GAMMA) & WORD) >> 40 for count in range(1, 5)]
        np.testing.assert_array_equal(numbers[sample].ravel() * 2**24, words)


@tensorflow
def test_uniform_numbers_never_change():
    numbers = uniform(seeds(7, np.arange(2), 0), 0, (2,)).numpy() * 2**24
    assert numbers.tolist() == UNIFORM


@tensorflow
def test_uniform_numbers_know_nothing_of_the_batch():
    rows = seeds(0, np.arange(37), 1)
    numbers = uniform(rows, 1, (3,)).numpy()
    np.testing.assert_array_equal(uniform(rows[::-1], 1, (3,)).numpy(), numbers[::-1])
    for row, expected in zip(rows, numbers):
        np.testing.assert_array_equal(uniform(row[None], 1, (3,))[0], expected)
        np.testing.assert_array_equal(uniform(row, 1, (3,)), expected)
        np.testing.assert_array_equal(uniform(row, 1, (2,)), expected[:2])


@tensorflow
@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_shapes_are_known_in_graphs(shape):
    import tensorflow as tf

    for rows in ((None, 2), (4, 2), (2,)):
        draw = tf.function(lambda rows: uniform(rows, 0, shape))
        traced = draw.get_concrete_function(tf.TensorSpec(rows, tf.int32))
        assert tuple(traced.outputs[0].shape) == (*rows[:-1], *shape)


@tensorflow
def test_uniform_numbers_are_uniform_and_independent():
    n = 20_000
    rows = seeds(0, np.arange(n), 0)
    draws = [uniform(rows, number, (2,)).numpy().astype(float) for number in range(3)]
    draws.append(uniform(folded(rows, 1), 0, (2,)).numpy().astype(float))
    draws.append(uniform(seeds(0, np.arange(n), 1), 0, (2,)).numpy().astype(float))
    draws.append(uniform(seeds(1, np.arange(n), 0), 0, (2,)).numpy().astype(float))
    columns = np.concatenate(draws, axis=1)
    assert (columns >= 0).all()
    assert (columns < 1).all()
    assert np.abs(columns.mean(axis=0) - 0.5).max() < 5 / np.sqrt(12 * n)
    counts = np.stack([np.histogram(column, 50, (0, 1))[0] for column in columns.T])
    chi_square = ((counts - n / 50) ** 2 / (n / 50)).sum(axis=1)
    assert chi_square.max() < 49 + 5 * np.sqrt(2 * 49)
    correlations = np.corrcoef(columns.T) - np.eye(columns.shape[1])
    assert np.abs(correlations).max() < 5 / np.sqrt(n)
    assert np.abs(np.corrcoef(columns[:-1, 0], columns[1:, 0])[0, 1]) < 5 / np.sqrt(n)


@tensorflow
def test_folded_seeds_are_seeds():
    import tensorflow as tf

    rows = seeds(7, np.arange(2), 0)
    assert folded(rows, 1).numpy().tolist() == FOLDED
    np.testing.assert_array_equal(folded(rows[1], 1), FOLDED[1])
    assert not np.array_equal(folded(rows, 2), folded(rows, 1))
    tf.random.stateless_normal([2], seed=folded(rows, 1)[0], alg="philox")
