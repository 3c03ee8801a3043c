import numpy as np
import pytest
from keras import ops

from keras_kd.compression import masks


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.8])
def test_the_least_magnitudes_go(sparsity):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype("float32")
    mask = ops.convert_to_numpy(masks.largest(kernel, round(sparsity * kernel.size)))
    order = np.sort(np.abs(kernel), axis=None)
    expected = np.abs(kernel) >= order[round(sparsity * kernel.size)]
    np.testing.assert_array_equal(mask, expected)


def test_equal_magnitudes_are_counted_exactly():
    mask = ops.convert_to_numpy(masks.largest(np.ones((4, 5), "float32"), 6))
    assert (mask == 0).sum() == 6


@pytest.mark.parametrize(("sparsity", "size", "gone"), [(0.55, 110, 61), (0.8, 2, 1), (0.9, 1, 0)])
def test_one_rule_says_how_many_go(sparsity, size, gone):
    assert masks.taken(sparsity, size) == gone
    assert masks.units((3, 5, 6)) == 90
    assert masks.units((3, 5, 6), (4, 4)) == 8


def test_ranks_beyond_float32():
    size = 2**24 + 4
    mask = masks._upper_part(np.arange(size, dtype="int32"), size - 2)
    assert (ops.convert_to_numpy(mask) != 0).sum() == 2


def test_blocks_stay_or_go_together():
    kernel = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    mask = ops.convert_to_numpy(masks.largest(kernel, 3, (2, 4)))
    sums = {
        (row, column): np.abs(kernel)[row : row + 2, column : column + 4].sum()
        for row in (0, 2, 4)
        for column in (0, 4)
    }
    for place, (row, column) in enumerate(sorted(sums, key=sums.get)):
        np.testing.assert_array_equal(mask[row : row + 2, column : column + 4], place >= 3)


def test_two_of_four_along_the_inputs():
    kernel = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    mask = ops.convert_to_numpy(masks.of_each(kernel, 2, 4))
    for column in range(3):
        largest = np.argsort(-np.abs(kernel[:4, column]))[:2]
        assert set(np.flatnonzero(mask[:4, column])) == set(largest)
    np.testing.assert_array_equal(mask[4:], 1)  # two are left over, and two may stay
    moved = masks.of_each(np.moveaxis(kernel, 0, 1)[None], 2, 4, axis=2)
    np.testing.assert_array_equal(ops.convert_to_numpy(moved)[0].T, mask)
