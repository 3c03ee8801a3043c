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
