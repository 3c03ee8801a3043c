"""tf.data pipelines in a stable order: of one shape, of many, encoded, and from TFDS."""

import functools

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import soft_labels
from keras_kd.soft_labels.training.read_on import ReadOn
from keras_kd.teachers import batch as batches

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def stream(images):
    """Returns the images as an unbatched dataset with labels."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(images)


def rows(dataset):
    """Returns `(images, answers, *labels)` of one pass over single rows, as arrays."""
    seen = [
        (batches.inputs(x), batches.answers(x)["output"], *rest)
        for x, *rest in dataset.as_numpy_iterator()
    ]
    return [np.stack(column) for column in zip(*seen)]


def test_rows_are_those_of_arrays(images, classifier, write, stream):
    x, y = images
    given = {"teacher": classifier(8), "augment": soft_labels.crop_flip, "views": 3}
    of_arrays, of_stream = write(data=x, **given), write(data=stream, **given)
    for epoch in range(2):
        first, second = of_arrays.arrays(epoch)["output"], of_stream.arrays(epoch)["output"]
        np.testing.assert_allclose(first, second, atol=4e-3)
    arrays = of_arrays.dataset(x, y, batch_size=300, shuffle=False)
    attached = of_stream.attach(stream)
    assert attached.cardinality() == 300
    for _ in range(2):
        (given_x, labels), *_ = arrays.as_numpy_iterator()
        shown, _, stream_labels = rows(attached)
        assert np.array_equal(shown, batches.inputs(given_x))
        assert np.array_equal(stream_labels, labels)


def test_training(images, classifier, write, stream):
    soft = write(teacher=classifier(16), data=stream, augment=soft_labels.crop_flip, views=2)
    train = soft.attach(stream).shuffle(300, seed=0).batch(50)
    distiller = keras_kd.Distiller(student=classifier(6), teacher=soft)
    distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = distiller.fit(train, epochs=4, verbose=0).history
    assert history["soft_targets"][-1] < history["soft_targets"][0]


def test_views_of_a_step_follow_each_other(images, classifier, write, stream):
    soft = write(teacher=classifier(8), data=stream, augment=soft_labels.crop_flip, views=3)
    attached = soft.attach(stream, views_per_step=2)
    assert attached.cardinality() == 600
    _, answers, _ = rows(attached)
    ids = np.repeat(np.arange(300), 2)
    views = (np.tile([0, 1], 300) + ids) % 3
    assert np.array_equal(answers, soft.read(ids, views)["output"])


def test_neighbours_are_mixed(images, classifier, write, stream):
    x, y = images
    augment = soft_labels.compose(soft_labels.crop_flip, soft_labels.cutmix)
    soft = write(teacher=classifier(8), data=stream, augment=augment, views=2)
    shown, answers, labels = rows(soft.attach(stream))
    np.testing.assert_allclose(labels.sum(-1), 1.0, atol=1e-6)
    batch = next(iter(soft.dataset(x, y, batch_size=300, shuffle=False).as_numpy_iterator()))
    assert np.array_equal(batches.inputs(batch[0]), shown)
    assert np.array_equal(batches.answers(batch[0])["output"], answers)
    np.testing.assert_allclose(batch[1], labels, atol=1e-6)
    far = write(teacher=classifier(8), data=x, augment=augment, views=2)
    with pytest.raises(ValueError, match="must be read with arrays"):
        far.attach(stream)


@pytest.fixture
def photos(tmp_path):
    """Returns a dataset of 20 JPEG files of different sizes, decoded, with labels."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    encoded = [
        tf.io.encode_jpeg(rng.integers(0, 256, (9 + i, 30 - i, 3)).astype("uint8")).numpy()
        for i in range(20)
    ]

    def decoded(data, label):
        return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"), label

    return tf.data.Dataset.from_tensor_slices((encoded, np.arange(20) % 3)).map(decoded)


def resized(image, seed):
    import tensorflow as tf

    height, width = tf.unstack(tf.shape(image)[:2])
    top = tf.random.stateless_uniform((), seed, 0, height - 7, tf.int32, alg="philox")
    return tf.ensure_shape(image[top : top + 8, (width - 8) // 2 : (width - 8) // 2 + 8], (8, 8, 3))


@pytest.mark.parametrize("batch_size", [7, 64])
def test_photos_of_different_sizes(photos, classifier, write, batch_size):
    teacher = classifier(8)
    given = {"augment": resized, "views": 5, "dtype": "float32", "batch_size": batch_size}
    soft = write(teacher=teacher, data=photos, **given)
    shown, answers, _ = rows(soft.attach(photos, views_per_step=2))
    np.testing.assert_allclose(answers, teacher.predict(shown, verbose=0), rtol=1e-4, atol=1e-4)
    assert soft.check(teacher, photos, n=5).answers == 5


def test_random_boxes_of_photos_of_different_sizes(photos, classifier, write):
    teacher = classifier(8)
    augment = functools.partial(soft_labels.random_resized_crop, size=8)
    soft = write(teacher=teacher, data=photos, augment=augment, views=3, dtype="float32")
    shown, answers, _ = rows(soft.attach(photos))
    assert shown.shape == (20, 8, 8, 3)
    np.testing.assert_allclose(answers, teacher.predict(shown, verbose=0), rtol=1e-4, atol=1e-4)


def test_photos_of_different_sizes_cannot_be_mixed(photos, classifier, write):
    with pytest.raises(ValueError, match=r"Samples that are mixed must have one shape"):
        write(teacher=classifier(8), data=photos, augment=soft_labels.mixup)


def test_another_order_is_found_out(images, classifier, write, stream):
    import tensorflow as tf

    x, y = images
    soft = write(teacher=classifier(8), data=stream)
    late = np.r_[np.arange(100), np.arange(100, 300)[::-1]]
    other = tf.data.Dataset.from_tensor_slices((x[late], y[late]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="The pixels must be those"):
        rows(soft.attach(other))
    with pytest.raises(ValueError, match="The data must be those"):
        soft.attach(stream.shuffle(300, seed=1))


def test_more_samples_are_refused(classifier, write, stream, images):
    import tensorflow as tf

    soft = write(teacher=classifier(8), data=stream)
    with pytest.raises(ValueError, match="Expected: samples 300"):
        soft.attach(stream.concatenate(stream.take(1)))
    unknown = stream.concatenate(stream.take(1)).filter(lambda *_: True)
    with pytest.raises(tf.errors.OpError, match="The dataset must have the samples"):
        rows(soft.attach(unknown))


def test_arrays_and_datasets_have_methods_of_their_own(images, classifier, write, stream):
    x, _ = images
    soft = write(teacher=classifier(8), data=x)
    with pytest.raises(TypeError, match=r"dataset must be given arrays.*soft.attach"):
        soft.dataset(stream)
    with pytest.raises(TypeError, match=r"attach must be given a tf.data.Dataset.*soft.dataset"):
        soft.attach(x)


@pytest.mark.parametrize("count", [256, 250])
@pytest.mark.parametrize("augment", [None, soft_labels.mixup], ids=["none", "mixup"])
def test_fewer_samples_than_were_written_are_said(
    images, classifier, write, stream, count, augment
):
    import tensorflow as tf

    soft = write(teacher=classifier(8), data=stream, augment=augment)
    fewer = soft.attach(stream.take(count).filter(lambda x, y: True))  # of unknown number
    seen = []
    words = rf"must have the samples.*300 samples\. Received: {count}\."
    with pytest.raises(tf.errors.OpError, match=words):
        seen.extend(1 for _ in fewer)
    if augment is None:
        assert len(seen) == count // 64 * 64


def test_fit_says_that_there_are_fewer_samples(images, classifier, write, stream):
    soft = write(teacher=classifier(8), data=stream)
    fewer = soft.attach(stream.take(200).filter(lambda x, y: True)).batch(50)
    distiller = keras_kd.Distiller(student=classifier(6), teacher=soft)
    distiller.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=r"^The dataset must have the samples.*Received: 200\."):
        distiller.fit(fewer, verbose=0)


def test_the_pipeline_is_built_once_for_all_epochs(images, classifier, write, monkeypatch):
    import tensorflow as tf

    calls = []
    images = tf.data.Dataset.from_tensor_slices(images)
    soft = write(teacher=classifier(8), data=images)
    begun = ReadOn._begun
    monkeypatch.setattr(
        ReadOn, "_begun", lambda self, epoch: calls.append(self) or begun(self, epoch)
    )
    rows = soft.attach(images)
    for _ in range(3):
        assert len(list(rows.shuffle(50).batch(64))) == 5
    assert len(calls) == 3
    assert len(calls[0]._idle) == 1


def test_equal_fingerprints_mean_equal_labels(images, classifier, write):
    teacher = classifier(8)
    soft, again = (write(teacher=teacher, data=images[0]) for _ in range(2))
    assert soft.fingerprint() == again.fingerprint()
    others = {"teacher": classifier(8)}, {"data": images[0][:200]}, {"seed": 1}
    given = {"teacher": teacher, "data": images[0]}
    for other in others:
        assert write(**(given | other)).fingerprint() != soft.fingerprint()
