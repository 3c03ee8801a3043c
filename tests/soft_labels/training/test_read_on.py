"""A stream is read on, pass by pass, with a pipeline that is built once."""

import numpy as np
import pytest

from keras_kd.soft_labels.training.read_on import ReadOn

pytestmark = pytest.mark.tensorflow
PIECES = 5


@pytest.fixture
def begun():
    """Returns a list of the epochs whose passes were begun."""
    return []


@pytest.fixture
def stream(begun):
    import tensorflow as tf

    def begin(epoch):
        begun.append(int(epoch))
        return np.int64(1000 * epoch)

    def make(first, index):
        if first == 13_000 and index == 3:
            raise ValueError("Piece 3 is broken")
        return first + index

    def one_pass(epoch):
        first = tf.ensure_shape(tf.numpy_function(begin, [epoch], tf.int64), ())

        def piece(index):
            number = tf.numpy_function(make, [first, index], tf.int64)
            number = tf.ensure_shape(number, ())
            return {"number": number, "row": tf.RaggedTensor.from_row_lengths([number], [1, 0])}

        return tf.data.Dataset.range(PIECES).map(piece)

    return ReadOn(one_pass)


def read(stream, number, epoch, indices):
    return [int(stream.read(number, epoch, index)[0]) for index in indices]


def test_passes_follow_each_other_on_one_iterator(stream, begun):
    for number, epoch in enumerate((0, 7, 1)):
        expected = [1000 * epoch + i for i in range(PIECES)]
        assert read(stream, number, epoch, range(PIECES)) == expected
        assert stream.read(number, epoch, PIECES) is None
        assert len(stream._idle) == 1
    assert begun == [0, 7, 1]


def test_ragged_pieces_come_as_their_parts(stream):
    number, values, splits = stream.read(0, 2, 0)
    assert (number, values.tolist(), splits.tolist()) == (2000, [2000], [0, 1, 1])


def test_passes_beside_each_other_read_nothing_twice(stream, begun):
    one, other = [], []
    for index in range(PIECES):
        one += read(stream, 1, 4, [index])
        other += read(stream, 2, 4, [index])
    assert one == other == [4000 + i for i in range(PIECES)]
    assert begun == [4, 4]


def test_of_many_passes_that_were_left_the_oldest_is_read_again(stream, begun):
    for number in range(6):
        assert read(stream, number, number, range(2)) == [1000 * number, 1000 * number + 1]
    assert read(stream, 0, 0, range(2, PIECES)) == [2, 3, 4]
    assert read(stream, 5, 5, range(2, PIECES)) == [5002, 5003, 5004]
    assert begun == [0, 1, 2, 3, 4, 5, 0]


def test_an_error_is_that_of_its_pass_alone(stream):
    assert read(stream, 0, 13, range(3)) == [13_000, 13_001, 13_002]
    with pytest.raises(ValueError, match="Piece 3 is broken"):
        stream.read(0, 13, 3)
    assert read(stream, 1, 14, range(PIECES)) == [14_000 + i for i in range(PIECES)]
