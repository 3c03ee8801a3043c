"""The order in which the teacher is asked."""

import keras
import numpy as np
import pytest

from keras_kd import soft_labels
from keras_kd.soft_labels.augmentation.stages import Augmentation
from keras_kd.soft_labels.views.replay import Replay
from keras_kd.soft_labels.views.sources import source
from keras_kd.soft_labels.writing.view_batches import (
    batches_to_ask,
    can_be_sliced,
    slices_to_ask,
)

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("kind", ["arrays", "stream"])
def test_samples_come_in_order_and_the_views_of_each_in_order(images, kind):
    import tensorflow as tf

    x = images[0][:10]
    data = source(x if kind == "arrays" else tf.data.Dataset.from_tensor_slices(x))
    replay = Replay(Augmentation.of(soft_labels.crop_flip), 0, 10, 3, 10)
    batches = batches_to_ask(replay, data, [range(4), range(4, 10)], 5)
    assert batches.options().autotune.enabled is False
    seen = list(batches.as_numpy_iterator())
    ids, views, shown, checks = (np.concatenate(column) for column in zip(*seen))
    np.testing.assert_array_equal(ids, np.repeat(np.arange(10), 3))
    np.testing.assert_array_equal(views, np.tile(np.arange(3), 10))
    assert shown.shape == (30, 8, 8, 3)
    assert len(checks) == 30
    assert max(len(batch[0]) for batch in seen) == 5
    if kind == "arrays":  # no batch reaches over the end of a span
        assert [len(batch[0]) for batch in seen] == [5, 5, 2, 5, 5, 5, 3]


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", "bool"])
def test_slices_are_what_the_pipeline_gives(images, dtype):
    x = (50 * images[0][:10] - 20).astype(dtype)
    data, replay = source({"a": x, "b": x[:, 0]}), Replay(Augmentation(), 0, 10, 1, 1)
    assert can_be_sliced(replay, data)
    spans = [range(4), range(4, 10)]
    piped = batches_to_ask(replay, data, spans, 3).as_numpy_iterator()
    for batch, sliced in zip(piped, slices_to_ask(data, spans, 3), strict=True):
        for one, other in zip(keras.tree.flatten(batch), keras.tree.flatten(sliced), strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
    assert np.shares_memory(sliced[2]["a"], x)


@pytest.mark.parametrize("kind", ["augmented", "text", "stream"])
def test_what_a_pipeline_has_to_make(images, kind):
    import tensorflow as tf

    x = np.array(["a", "b"]) if kind == "text" else images[0][:2]
    data = source(tf.data.Dataset.from_tensor_slices(x) if kind == "stream" else x)
    augment = soft_labels.crop_flip if kind == "augmented" else None
    assert not can_be_sliced(Replay(Augmentation.of(augment), 0, 2, 1, 2), data)
