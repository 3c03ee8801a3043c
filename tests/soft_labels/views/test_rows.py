"""Rows of a batch with all that is drawn for them."""

import numpy as np
import pytest

from keras_kd import soft_labels
from keras_kd.soft_labels.augmentation.stages import Augmentation
from keras_kd.soft_labels.views import rows
from keras_kd.soft_labels.views.replay import Replay
from keras_kd.soft_labels.views.sources import source

pytestmark = pytest.mark.tensorflow

IDS, VIEWS = np.array([3, 0, 7]), np.array([1, 0, 1])


@pytest.fixture
def replay():
    """Builds the replay of an augmentation of ten samples in two views."""
    return lambda augment: Replay(Augmentation.of(augment), 0, 10, 2, 10)


def test_rows_have_their_samples_and_seeds(replay, images):
    x = images[0][:10]
    taken = rows.taken(replay(soft_labels.crop_flip), source(x), IDS, VIEWS)
    assert sorted(taken) == ["ids", "seeds", "views", "x"]
    np.testing.assert_array_equal(taken["x"], x[IDS])
    assert len(rows.to_show(taken)) == 2


def test_rows_that_mix_have_partners(replay, images):
    x = images[0][:10]
    taken = rows.taken(replay(soft_labels.mixup), source(x), IDS, VIEWS)
    np.testing.assert_array_equal(taken["partner_x"], x[taken["partners"]])
    assert len(rows.to_show(taken)) == 4


def test_samples_come_out_of_a_chunk_as_out_of_arrays(replay, images):
    import tensorflow as tf

    x, of = images[0][:10], replay(soft_labels.mixup)
    drawn = {name: tf.constant(value) for name, value in rows.drawn(of, IDS, VIEWS).items()}
    found = rows.with_samples(drawn, tf.constant(x), 0)
    wanted = rows.taken(of, source(x), IDS, VIEWS)
    for name in ("x", "partner_x"):
        np.testing.assert_array_equal(found[name], wanted[name])


def test_a_numpy_function_within_a_graph():
    import tensorflow as tf

    def halves(start, stop):
        return {"a": np.arange(start, stop) / 2, "b": np.int64(stop)}

    operation = tf.function(rows.on_host(halves, halves(0, 1)))
    found = operation(tf.constant(2), tf.constant(5))
    np.testing.assert_array_equal(found["a"], [1.0, 1.5, 2.0])
    assert found["b"] == 5
