"""The order in which the teacher is asked."""

import numpy as np
import pytest

from keras_kd import soft_labels
from keras_kd.soft_labels.augmentation.stages import Augmentation
from keras_kd.soft_labels.views.replay import Replay
from keras_kd.soft_labels.views.sources import source
from keras_kd.soft_labels.writing.view_batches import batches_to_ask

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("kind", ["arrays", "stream"])
def test_samples_come_in_order_and_the_views_of_each_in_order(images, kind):
    import tensorflow as tf

    x = images[0][:10]
    data = source(x if kind == "arrays" else tf.data.Dataset.from_tensor_slices(x))
    replay = Replay(Augmentation.of(soft_labels.crop_flip), 0, 10, 3, 10)
    seen = list(batches_to_ask(replay, data, [range(4), range(4, 10)], 5).as_numpy_iterator())
    ids, views, shown, checks = (np.concatenate(column) for column in zip(*seen))
    np.testing.assert_array_equal(ids, np.repeat(np.arange(10), 3))
    np.testing.assert_array_equal(views, np.tile(np.arange(3), 10))
    assert shown.shape == (30, 8, 8, 3)
    assert len(checks) == 30
    assert max(len(batch[0]) for batch in seen) == 5
    if kind == "arrays":  # no batch reaches over the end of a span
        assert [len(batch[0]) for batch in seen] == [5, 5, 2, 5, 5, 5, 3]
