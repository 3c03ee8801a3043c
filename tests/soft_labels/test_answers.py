"""Stored answers teach as the teacher itself does."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import soft_labels
from tests.soft_labels.training_on_answers import BATCH, cross_entropy, trained, weights

pytestmark = pytest.mark.tensorflow


def online(dataset):
    """Returns the dataset's pixels without the stored answers."""
    return dataset.map(lambda x, *rest: (x["keras_kd.input"], *rest))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("float32", 1e-5)])
def test_the_first_steps_lose_what_they_lose_online(
    images, classifier, write, twins, dtype, tolerance
):
    x, y = images
    teacher = classifier(16)
    given = {"augment": soft_labels.crop_flip, "views": 3, "dtype": dtype}
    soft = write(teacher=teacher, data=x, **given)
    train = soft.dataset(x, y, batch_size=BATCH)
    stored, _ = trained(twins(), soft, train, epochs=1)
    soft.start_epoch(0)
    asked, _ = trained(twins(), teacher, online(train), epochs=1)
    np.testing.assert_allclose(stored[:10], asked[:10], rtol=tolerance)


def test_top_classes_lose_what_dense_answers_with_an_even_tail_lose(images, classifier, write):
    x, _ = images
    y = np.random.default_rng(0).integers(0, 40, len(x))
    teacher, student = classifier(16, classes=40), classifier(6, classes=40)
    soft = write(teacher=teacher, data=x, top_k=5, temperatures=[2.0], dtype="float32")
    distiller = keras_kd.Distiller(student=student, teacher=soft)
    distiller.compile(keras.optimizers.SGD(0.0), cross_entropy(), alpha=0.1, temperature=2.0)
    logs = distiller.fit(soft.dataset(x, y, batch_size=300), verbose=0).history

    def log_softmax(z):
        z = np.asarray(z, "float64") / 2.0
        z = z - z.max(-1, keepdims=True)
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    log_p = log_softmax(teacher.predict(x, verbose=0))
    p, log_q = np.exp(log_p), log_softmax(student.predict(x, verbose=0))
    small = np.argsort(-p, axis=-1)[:, 5:]
    rest = np.take_along_axis(p, small, -1).mean(-1, keepdims=True)
    np.put_along_axis(p, small, np.broadcast_to(rest, small.shape), -1)
    expected = 4.0 * (p * (np.log(p) - log_q)).sum(-1).mean()
    np.testing.assert_allclose(logs["soft_targets"][0], expected, rtol=1e-4)


def assert_same(first, second, **tolerance):
    for a, b in zip(weights(first), weights(second)):
        np.testing.assert_allclose(a, b, **tolerance or {"rtol": 1e-6, "atol": 1e-7})


def test_several_fits_are_one(images, soft, twins):
    train = soft.dataset(*images, batch_size=BATCH)
    _, whole = trained(twins(), soft, train, epochs=3)
    next(iter(train))
    _, parts = trained(twins(), soft, train, epochs=1)
    next(iter(train))
    parts.fit(train, initial_epoch=1, epochs=3, verbose=0)
    assert_same(whole, parts)


def test_validation_beside_it_shifts_nothing(images, soft, twins):
    train = soft.dataset(*images, batch_size=BATCH)
    _, alone = trained(twins(), soft, train, epochs=2)
    beside = soft.dataset(*images, batch_size=BATCH)
    _, watched = trained(twins(), soft, train, epochs=2, validation_data=beside)
    assert_same(alone, watched)


def test_a_repeated_dataset_counts_its_passes(images, soft, twins):
    train = soft.dataset(*images, batch_size=BATCH)
    _, whole = trained(twins(), soft, train, epochs=4)
    repeated = soft.dataset(*images, batch_size=BATCH).repeat()
    _, halves = trained(twins(), soft, repeated, epochs=8, steps_per_epoch=5)
    assert_same(whole, halves)


def test_training_goes_on_in_the_middle_of_an_epoch(images, soft, twins):
    train = soft.dataset(*images, batch_size=BATCH)
    _, whole = trained(twins(), soft, train, epochs=3)
    _, parts = trained(twins(), soft, train, epochs=1)
    soft.start_epoch(1)
    parts.fit(train.take(4), initial_epoch=1, epochs=2, verbose=0)
    parts.fit(train.skip(4), initial_epoch=1, epochs=2, verbose=0)
    parts.fit(train, initial_epoch=2, epochs=3, verbose=0)
    assert_same(whole, parts)


def test_two_replicas_are_one(images, soft, twins, two_replicas):
    train = soft.dataset(*images, batch_size=30)
    _, alone = trained(twins(), soft, train, epochs=2)
    with two_replicas.scope():
        student = twins()
        distiller = keras_kd.Distiller(student=student, teacher=soft)
        distiller.compile(keras.optimizers.SGD(0.01), loss=cross_entropy(), temperature=4.0)
        distiller.fit(train, epochs=2, verbose=0)
    assert_same(alone, distiller, rtol=1e-4, atol=1e-6)


def test_class_and_sample_weights_weigh(images, soft, twins):
    x, y = images
    weight = np.where(y == 1, 3.0, 1.0)
    by_sample = soft.dataset(x, y, weight, batch_size=BATCH)
    _, first = trained(twins(), soft, by_sample, epochs=1)
    by_class = soft.dataset(x, y, batch_size=BATCH)
    _, second = trained(twins(), soft, by_class, epochs=1, class_weight={0: 1.0, 1: 3.0, 2: 1.0})
    assert_same(first, second)


def test_without_labels(images, soft, twins):
    distiller = keras_kd.Distiller(student=twins(), teacher=soft)
    distiller.compile("sgd", loss=None)
    logs = distiller.fit(soft.dataset(images[0], batch_size=BATCH), epochs=2, verbose=0).history
    assert logs["soft_targets"][1] < logs["soft_targets"][0]


def test_no_teacher_is_saved_or_needed(images, soft, twins, tmp_path):
    train = soft.dataset(*images, batch_size=BATCH)
    _, straight = trained(twins(), soft, train, epochs=2)
    _, stopped = trained(twins(), soft, train, epochs=1)
    stopped.save(tmp_path / "distiller.keras")
    resumed = keras.saving.load_model(tmp_path / "distiller.keras")
    resumed.teacher = soft
    resumed.fit(train, initial_epoch=1, epochs=2, verbose=0)
    assert_same(straight, resumed)


def test_what_teaches_is_said(soft, twins, capsys):
    distiller = keras_kd.Distiller(student=twins(), teacher=soft)
    distiller.summary()
    assert "to 300 samples x 3 views, in memory" in capsys.readouterr().out
    assert "teacher=stored answers of" in repr(distiller)


def test_stored_features_teach_what_the_teacher_itself_does(images, classifier, write, twins):
    x, y = images
    teacher = classifier(16)
    path = teacher.layers[-2].name
    soft = write(teacher=teacher, data=x, signals=[path], dtype="float32")
    train = soft.dataset(x, y, batch_size=300)

    def logs(teacher, data):
        student = twins()
        keras.utils.set_random_seed(0)
        hint = keras_kd.Term(
            keras_kd.losses.Hint(),
            teacher=path,
            student=student.layers[-2].name,
            projector="auto",
            name="hint",
        )
        distiller = keras_kd.Distiller(
            student=student, teacher=teacher, terms=[keras_kd.losses.SoftTargets(), hint]
        )
        distiller.compile(keras.optimizers.SGD(0.0), loss=cross_entropy())
        return distiller.fit(data, verbose=0).history

    stored, asked = logs(soft, train), logs(teacher, online(train))
    for name in ("hint", "soft_targets", "loss"):
        np.testing.assert_allclose(stored[name], asked[name], rtol=1e-5)


def test_a_folder_that_is_opened_twice_has_one_epoch(images, classifier, twins, tmp_path):
    x, y = images
    given = {"teacher": classifier(8), "data": x, "augment": soft_labels.crop_flip, "views": 3}
    soft = keras_kd.SoftLabels.write(tmp_path, verbose=0, **given)
    again = keras_kd.SoftLabels.open(tmp_path)
    _, one = trained(twins(), soft, soft.dataset(x, y), epochs=3, initial_epoch=2)
    _, two = trained(twins(), soft, again.dataset(x, y), epochs=3, initial_epoch=2)
    assert_same(one, two)


@pytest.mark.parametrize("keyed", [False, True])
def test_inputs_and_outputs_are_matched_by_name(two_inputs, queries, tmp_path, keyed):
    teacher = two_inputs(("query", "document"), keyed, outputs=("main", "aux"))
    student = two_inputs(("document", "query"), outputs=("aux", "main"))
    soft = keras_kd.SoftLabels.write(
        tmp_path / "labels", teacher=teacher, data=queries, dtype="float32", verbose=0
    )
    main = teacher.predict(queries, verbose=0)[0]
    logs = []
    for each in (teacher, soft, keras_kd.SoftLabels.open(tmp_path / "labels")):
        np.testing.assert_allclose(soft.arrays()["main"], main, rtol=1e-5, atol=1e-6)
        distiller = keras_kd.Distiller(student=student, teacher=each)
        distiller.compile(keras.optimizers.SGD(0.0))
        data = queries if each is teacher else each.dataset(queries, batch_size=24)
        size = 24 if each is teacher else None
        logs.append(distiller.fit(data, batch_size=size, verbose=0).history)
    for name, values in logs[0].items():
        assert [log[name][0] for log in logs] == pytest.approx(values * 3, rel=1e-4)
