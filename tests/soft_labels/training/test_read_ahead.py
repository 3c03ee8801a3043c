"""One pipeline serves all passes, whoever leaves them and however many run beside each other."""

import gc
import threading
import weakref

import numpy as np
import pytest

from keras_kd.soft_labels.training.read_ahead import ReadAhead

pytestmark = pytest.mark.tensorflow
BATCHES = 40


@pytest.fixture
def made():
    """Returns a list of what was made."""
    return []


@pytest.fixture
def ahead(made):
    import tensorflow as tf

    def make(epoch, index):
        made.append((int(epoch), int(index)))
        if epoch == 13 and index == 3:
            raise ValueError("Batch 3 is broken")
        return np.int64(1000 * epoch + index)

    def batch(epoch, index):
        number = tf.numpy_function(make, [epoch, index], tf.int64)
        return {"number": tf.ensure_shape(number, ()), "twice": 2 * number}

    return ReadAhead(batch, BATCHES)


def read(ahead, epoch, indices, number=None):
    number = epoch if number is None else number
    return [int(ahead.read(number, epoch, index)[0]) for index in indices]


def test_batches_come_in_order_and_are_made_once(ahead, made):
    for epoch in (0, 1, 7):
        assert read(ahead, epoch, range(BATCHES)) == [1000 * epoch + i for i in range(BATCHES)]
    assert len(made) == 3 * BATCHES  # nothing beyond the end of an epoch
    assert [int(leaf) for leaf in ahead.read(2, 2, 0)] == [2000, 4000]


def test_a_pass_that_was_left_is_forgotten(ahead, made):
    assert read(ahead, 0, range(3)) == [0, 1, 2]
    assert read(ahead, 5, range(BATCHES)) == [5000 + i for i in range(BATCHES)]
    assert len([epoch for epoch, _ in made if epoch == 0]) < 3 + 17


def test_two_passes_at_once(ahead):
    one, other = [], []
    for index in range(5):
        one += read(ahead, 0, [index])
        other += read(ahead, 1, [index])
    assert (one, other) == ([0, 1, 2, 3, 4], [1000, 1001, 1002, 1003, 1004])


def test_passes_beside_each_other_make_nothing_twice(ahead, made):
    passes = {1: [], 2: [], 3: []}
    for index in range(BATCHES):
        for number, seen in passes.items():
            seen += read(ahead, number % 2, [index], number)  # two of them show the same epoch
    for number, seen in passes.items():
        assert seen == [1000 * (number % 2) + i for i in range(BATCHES)]
    assert len(made) == 3 * BATCHES


def test_many_passes_that_were_left_are_forgotten(ahead):
    for number in range(12):
        assert read(ahead, 0, range(3), number) == [0, 1, 2]
    assert len(ahead._kept) <= 32


def test_threads_get_what_each_has_asked_for(ahead):
    seen = {}

    def one_pass(epoch):
        seen[epoch] = read(ahead, epoch, range(10))

    threads = [threading.Thread(target=one_pass, args=(epoch,)) for epoch in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {epoch: [1000 * epoch + i for i in range(10)] for epoch in range(4)}


def test_an_error_is_that_of_its_batch_alone(ahead):
    assert read(ahead, 13, range(3)) == [13_000, 13_001, 13_002]
    with pytest.raises(ValueError, match="Batch 3 is broken"):
        ahead.read(13, 13, 3)
    assert read(ahead, 13, range(4, BATCHES)) == [13_000 + i for i in range(4, BATCHES)]
    assert read(ahead, 13, range(2)) == [13_000, 13_001]
    assert read(ahead, 14, range(5)) == [14_000 + i for i in range(5)]  # the broken one was waiting


def test_nothing_is_left_of_one_that_nobody_needs(ahead):
    import tensorflow as tf

    reading = ReadAhead(lambda epoch, index: tf.stack([epoch, index]), BATCHES)
    reading.read(0, 0, 0)
    gone = weakref.ref(reading)
    del reading
    gc.collect()
    assert gone() is None
