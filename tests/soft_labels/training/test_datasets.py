"""What the student sees: the pixels that the teacher saw, with what it said of them."""

import functools

import keras
import numpy as np
import pytest

from keras_kd import soft_labels
from keras_kd.soft_labels.augmentation.draws import seeds as seeds_of
from keras_kd.teachers import batch

pytestmark = pytest.mark.tensorflow


def rows(dataset):
    """Returns `(images, answers, *labels)` of one pass over batches, as arrays."""
    seen = []
    for x, *rest in dataset.as_numpy_iterator():
        answers = batch.answers(x)["output"]
        seen.append((batch.inputs(x), answers, *rest))
    return [np.concatenate(column) for column in zip(*seen)]


def expected_views(x, soft, epoch, augment=soft_labels.crop_flip, seed=0):
    ids = np.arange(len(x))
    views = (epoch + ids) % soft.views
    return np.asarray(augment(x, seeds_of(seed, ids, views)))


@pytest.fixture
def soft(images, classifier, write):
    x, _ = images
    return write(teacher=classifier(8), data=x, augment=soft_labels.crop_flip, views=3)


def test_epochs_count_up_and_show_each_sample_its_next_view(images, soft):
    x, y = images
    train = soft.dataset(x, y, batch_size=64, shuffle=False)
    for epoch in range(4):
        shown, answers, labels = rows(train)
        assert np.array_equal(shown, expected_views(x, soft, epoch))
        assert np.array_equal(answers, soft.arrays(epoch)["output"])
        assert np.array_equal(labels, y)


def test_a_look_at_one_batch_shifts_nothing(images, soft):
    train = soft.dataset(*images, batch_size=64, shuffle=False)
    next(iter(train))
    next(iter(train))
    assert np.array_equal(rows(train)[1], soft.arrays(0)["output"])


def test_a_single_batch_counts_once_it_is_over(images, soft):
    train = soft.dataset(*images, batch_size=300, shuffle=False)
    next(iter(train))
    assert [np.array_equal(rows(train)[1], soft.arrays(e)["output"]) for e in (0, 1)] == [True] * 2


def test_shuffled_epochs_hold_the_same_rows_in_orders_of_their_own(images, soft):
    x, _ = images
    ids = np.arange(len(x))
    train = soft.dataset(x, ids, batch_size=64)
    orders = []
    for epoch in range(2):
        shown, answers, order = rows(train)
        assert np.array_equal(shown, expected_views(x, soft, epoch)[order])
        assert np.array_equal(answers, soft.arrays(epoch)["output"][order])
        assert np.array_equal(np.sort(order), ids)
        orders.append(order)
    assert not np.array_equal(*orders)
    again = soft.dataset(x, ids, batch_size=7)
    assert np.array_equal(rows(again)[2], orders[0])
    assert not np.array_equal(rows(soft.dataset(x, ids, seed=1))[2], orders[0])


def test_views_of_one_sample_come_together(images, soft):
    x, _ = images
    ids = np.arange(len(x))
    train = soft.dataset(x, ids, batch_size=64, views_per_step=2, shuffle=False)
    assert train.cardinality() == 10
    for epoch in range(2):
        _, answers, order = rows(train)
        assert np.array_equal(order, np.repeat(ids, 2))
        views = (2 * epoch + np.tile([0, 1], len(ids)) + order) % 3
        assert np.array_equal(answers, soft.read(order, views)["output"])


def test_the_last_batch_may_be_dropped(images, soft):
    train = soft.dataset(*images, batch_size=64, drop_remainder=True)
    assert train.cardinality() == 4
    assert len(rows(train)[2]) == 256


def test_without_labels_and_with_weights(images, soft):
    x, y = images
    (element,) = soft.dataset(x).element_spec
    assert batch.carries_answers(element)
    weight = np.linspace(0, 1, len(x))
    assert np.array_equal(rows(soft.dataset(x, y, weight, shuffle=False))[3], weight)


@pytest.fixture
def mixed(images, classifier, write):
    augment = soft_labels.compose(
        soft_labels.crop_flip, functools.partial(soft_labels.mixup, alpha=1.0)
    )
    return write(teacher=classifier(8), data=images[0], augment=augment, views=2)


def test_mixed_labels_are_mixed_as_the_images_are(images, mixed):
    x, y = images
    shown, _, labels = rows(mixed.dataset(x, y, shuffle=False))
    assert shown.dtype == x.dtype
    assert labels.shape == (len(x), 3)
    np.testing.assert_allclose(labels.sum(-1), 1.0, atol=1e-6)
    soft_y = rows(mixed.dataset(x, np.eye(3, dtype="float32")[y], shuffle=False))[2]
    np.testing.assert_allclose(soft_y, labels, atol=1e-6)


def test_the_teacher_has_seen_the_mix(images, classifier, write):
    x, y = images
    teacher = classifier(8)
    soft = write(teacher=teacher, data=x, augment=soft_labels.mixup, views=2, dtype="float32")
    shown, answers, _ = rows(soft.dataset(x, y, shuffle=False))
    np.testing.assert_allclose(answers, teacher.predict(shown, verbose=0), rtol=1e-4, atol=1e-4)


def test_a_mix_with_a_missing_label_has_none(images, mixed):
    x, y = images
    y = np.where(np.arange(len(y)) % 2, y, -1)
    labels = rows(mixed.dataset(x, y, shuffle=False))[2]
    missing = (labels == -1).all(-1)
    assert missing[::2].all()
    assert 0 < missing[1::2].sum() < 150
    np.testing.assert_allclose(labels[~missing].sum(-1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"batch_size": 63, "views_per_step": 2},
            "batch_size must be a multiple of views_per_step=2",
        ),
        ({"views_per_step": 4}, "views_per_step must not exceed the stored views"),
        ({"views_per_step": 0}, "views_per_step must be an integer of at least 1"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
    ],
)
def test_wrong_sizes_are_refused(images, soft, arguments, message):
    with pytest.raises(ValueError, match=message):
        soft.dataset(*images, **arguments)


def test_labels_must_fit_the_samples(images, soft):
    x, y = images
    with pytest.raises(ValueError, match="y must have one row for each"):
        soft.dataset(x, y[:-1])
    with pytest.raises(ValueError, match="sample_weight must have one row for each"):
        soft.dataset(x, y, np.ones(3))
    with pytest.raises(ValueError, match="y must be given beside sample_weight"):
        soft.dataset(x, sample_weight=np.ones(300))


def test_keras_does_not_shift_the_epochs_of_other_models(images, soft, classifier):
    """Keras' own fit, with the callback, on the answers as labels."""
    x, y = images
    seen = []

    def note(given, y):
        import tensorflow as tf

        def keep(image):
            seen.append(image.copy())
            return np.int64(0)

        with tf.control_dependencies([tf.numpy_function(keep, [given["keras_kd.input"]], "int64")]):
            return tf.identity(given["keras_kd.input"]), given["keras_kd.answers"]["output"]

    train = soft.dataset(x, y, batch_size=300, shuffle=False).map(note)
    model = classifier(4)
    model.compile("sgd", loss="mse")
    model.fit(
        train, epochs=5, initial_epoch=3, shuffle=False, callbacks=[soft.callback()], verbose=0
    )
    for epoch, shown in zip((3, 4), seen):
        assert np.array_equal(shown, expected_views(x, soft, epoch))
    assert len(seen) == 2
    keras.backend.clear_session()


def test_answers_are_read_at_random(images, classifier, write):
    x, _ = images
    soft = write(teacher=classifier(8), data=np.repeat(x, 10, axis=0), dtype="float32")
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 3000, 500)  # of 3 shards
    expected = soft.arrays()["output"][ids]
    assert np.array_equal(soft.read(ids, np.zeros(500, int))["output"], expected)
    for wrong, error in (([3000], ValueError), ([-1], ValueError), ([0.5], TypeError)):
        with pytest.raises(error, match="ids must be"):
            soft.read(wrong, [0])
    with pytest.raises(ValueError, match="views must be indices from 0 to"):
        soft.read([0], [1])


def test_narrow_integers_read_what_wide_ones_do(images, classifier, write):
    x, _ = images
    soft = write(teacher=classifier(8), data=x, augment=soft_labels.crop_flip, views=120)
    ids, views = np.arange(100, 250), np.arange(150) % 120
    expected = soft.read(ids, views)["output"]
    for dtype in ("int16", "uint8", "int32"):
        given = ids.astype(dtype), views.astype(dtype)
        assert np.array_equal(soft.read(*given)["output"], expected)
    with pytest.raises(ValueError, match="views must be as many as ids"):
        soft.read([0, 1], [0])


def test_samples_and_labels_are_given_apart(images, soft):
    with pytest.raises(TypeError, match="x must be the samples alone"):
        soft.dataset(images)


def test_a_pass_without_a_batch_is_refused(images, soft):
    with pytest.raises(ValueError, match="batch_size must be at most 300, the number of rows"):
        soft.dataset(*images, batch_size=301, drop_remainder=True)


def test_an_epoch_does_not_wait_for_the_tuner(images, soft):
    assert soft.dataset(*images, batch_size=64).options().autotune.enabled is False
