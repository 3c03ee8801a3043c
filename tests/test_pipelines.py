import subprocess
import sys

import pytest

from keras_kd._pipelines import untuned

pytestmark = pytest.mark.tensorflow


def test_the_tuner_is_off_and_all_else_stays():
    import tensorflow as tf

    options = tf.data.Options()
    options.threading.private_threadpool_size = 3
    given = tf.data.Dataset.range(5).with_options(options)
    dataset = untuned(given)
    assert [*dataset.as_numpy_iterator()] == [0, 1, 2, 3, 4]
    assert not dataset.options().autotune.enabled
    assert dataset.map(lambda x: x + 1).options().threading.private_threadpool_size == 3
    assert given.options().autotune.enabled is not False


PROGRAM = """
import time

import tensorflow as tf

from keras_kd._pipelines import Held


def slow(number):
    time.sleep(0.3)
    return number


dataset = tf.data.Dataset.range(50)
dataset = dataset.map(lambda n: tf.numpy_function(slow, [n], tf.int64), num_parallel_calls=4)
held = Held(iter(dataset))
print(int(next(held)), int(next(held)))
"""


def test_python_ends_in_the_middle_of_a_pipeline():
    # Without `Held` it never does.
    command = [sys.executable, "-c", PROGRAM]
    assert subprocess.run(command, capture_output=True, timeout=100, check=True).stdout == b"0 1\n"
