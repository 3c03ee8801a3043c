"""A student of stored answers becomes the student of the teacher itself."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import soft_labels

pytestmark = pytest.mark.tensorflow

BATCH = 32


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Losses(keras.callbacks.Callback):
    """Keeps the loss of each step, which Keras shows as a mean."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        total = logs["loss"] * (batch + 1) - sum(self.losses)
        self.losses.append(float(total))


def online(dataset):
    """Returns the dataset's pixels without the stored answers."""
    return dataset.map(lambda x, *rest: (x["keras_kd.input"], *rest))


def trained(student, teacher, data, **fit):
    distiller = keras_kd.Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.SGD(0.01), loss=cross_entropy(), temperature=4.0)
    losses = Losses()
    callbacks = [losses, *fit.pop("callbacks", [])]
    distiller.fit(data, verbose=0, callbacks=callbacks, **fit)
    return losses.losses, distiller


@pytest.fixture
def twins(classifier):
    """Returns `f()`: students of one initial state."""
    first = classifier(6)

    def twin():
        copy = keras.models.clone_model(first)
        copy.set_weights(first.get_weights())
        return copy

    return twin


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


@pytest.fixture
def soft(images, classifier, write):
    given = {"augment": soft_labels.crop_flip, "views": 3}
    return write(teacher=classifier(8), data=images[0], **given)


def weights(distiller):
    return distiller.student.get_weights()


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


def test_data_without_answers_are_refused(images, soft, twins):
    with pytest.raises(ValueError, match="Training data must carry the stored answers"):
        trained(twins(), soft, *images[:1])


def test_other_classes_are_refused(soft, classifier):
    with pytest.raises(ValueError, match=r"same shape at 'output'.*\(None, 4\).*\(None, 3\)"):
        keras_kd.Distiller(student=classifier(4, classes=4), teacher=soft)


def test_another_head_is_refused(soft, classifier):
    with pytest.raises(ValueError, match="teacher_head must be left"):
        keras_kd.Distiller(student=classifier(4), teacher=soft, teacher_head="softmax")


@pytest.fixture
def top(images, classifier, write):
    given = {"top_k": 5, "temperatures": [2.0, 4.0]}
    return write(teacher=classifier(8, classes=40), data=images[0], **given)


def test_top_classes_refuse_other_temperatures(top, classifier):
    distiller = keras_kd.Distiller(student=classifier(4, classes=40), teacher=top)
    distiller.compile("sgd", loss=cross_entropy())
    with pytest.raises(ValueError, match=r"one of \[2.0, 4.0\]. Received: 3"):
        distiller.compile("sgd", loss=cross_entropy(), temperature=3.0)


def test_top_classes_refuse_losses_that_need_all(top, classifier):
    for loss in (
        keras_kd.losses.LogitMSE(),
        keras_kd.losses.SoftTargets(standardize=True),
        keras.losses.MeanSquaredError(),
    ):
        with pytest.raises(ValueError, match="tempered softmax of the logits"):
            keras_kd.Distiller(
                student=classifier(4, classes=40), teacher=top, terms=[keras_kd.Term(loss)]
            )


def test_a_schedule_that_leaves_the_stored_temperatures_is_reported(images, top, classifier):
    x, _ = images
    distiller = keras_kd.Distiller(student=classifier(4, classes=40), teacher=top)
    distiller.compile("sgd", loss=None)
    train = top.dataset(x, batch_size=BATCH)
    distiller.fit(train, verbose=0)
    distiller.temperature.assign(2.0)
    distiller.fit(train, verbose=0)
    distiller.temperature.assign(3.0)
    with pytest.raises(ValueError, match="The temperature must stay one that"):
        distiller.fit(train, verbose=0)


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


def test_features_that_were_not_stored_are_refused(soft, twins):
    student = twins()
    term = keras_kd.Term(keras_kd.losses.Hint(), teacher="inner", student=student.layers[-2].name)
    with pytest.raises(ValueError, match=r"signals that were stored.*signals=\['inner'\]"):
        keras_kd.Distiller(student=student, teacher=soft, terms=[term])


def test_other_labels_answers_are_refused(images, soft, top, classifier):
    distiller = keras_kd.Distiller(student=classifier(4, classes=40), teacher=top)
    distiller.compile("sgd", loss=None)
    with pytest.raises(ValueError, match="must carry the answers of the SoftLabels that teach"):
        distiller.fit(soft.dataset(images[0]), verbose=0)


def test_stored_top_classes_want_their_labels_as_the_teacher(images, top, classifier):
    teacher, student = (classifier(width, classes=40) for width in (8, 4))
    distiller = keras_kd.Distiller(student=student, teacher=teacher)
    distiller.compile("sgd", loss=None)
    with pytest.raises(ValueError, match=r"logits of the student's outputs.*SoftLabels"):
        distiller.fit(top.dataset(images[0]), verbose=0)


def test_a_folder_that_is_opened_twice_has_one_epoch(images, classifier, twins, tmp_path):
    x, y = images
    given = {"teacher": classifier(8), "data": x, "augment": soft_labels.crop_flip, "views": 3}
    soft = keras_kd.SoftLabels.write(tmp_path, verbose=0, **given)
    again = keras_kd.SoftLabels.open(tmp_path)
    _, one = trained(twins(), soft, soft.dataset(x, y), epochs=3, initial_epoch=2)
    _, two = trained(twins(), soft, again.dataset(x, y), epochs=3, initial_epoch=2)
    assert_same(one, two)


def test_mixed_labels_under_a_sparse_loss_are_refused(images, classifier, write, twins):
    x, y = images
    mixed = write(teacher=classifier(8), data=x, augment=soft_labels.mixup)
    with pytest.raises(ValueError, match=r"must be class ids.*Pass a CategoricalCrossentropy"):
        trained(twins(), mixed, mixed.dataset(x, y))


def test_a_dataset_of_other_labels_is_refused_after_a_batch(
    images, soft, classifier, write, twins, tmp_path
):
    x, y = images
    other = write(teacher=classifier(8), data=x, augment=soft_labels.crop_flip, views=4)
    with pytest.raises(ValueError, match=r"must come from the SoftLabels that is the teacher"):
        trained(twins(), soft, other.dataset(x, y, batch_size=BATCH))
    trained(twins(), soft, soft.dataset(x, y, batch_size=BATCH), validation_data=(x, y))


def test_single_rows_are_refused(images, soft, twins):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(images)
    with pytest.raises(ValueError, match=r"must come in batches.*Call batch\(\) after"):
        trained(twins(), soft, soft.attach(data))


def test_another_order_names_the_sample(images, soft, twins):
    import tensorflow as tf

    x, y = images
    x = x.copy()
    x[[70, 71]] = x[[71, 70]]
    data = tf.data.Dataset.from_tensor_slices((x, y))
    with pytest.raises(ValueError, match=r"The pixels must be those.*Received: .*sample 7[01]"):
        trained(twins(), soft, soft.attach(data).batch(BATCH))


@pytest.fixture
def two_inputs():
    """Builds `model(names, keyed)` of two inputs of one shape, and two outputs of one shape."""

    def build(names, keyed=False, outputs=("main", "aux")):
        inputs = {name: keras.Input((4,), name=name) for name in names}
        hidden = [keras.layers.Dense(3 + n)(inputs[name]) for n, name in enumerate(sorted(names))]
        hidden = keras.layers.Concatenate()(hidden)
        logits = [keras.layers.Dense(3, name=name)(hidden) for name in outputs]
        return keras.Model(inputs if keyed else list(inputs.values()), logits)

    return build


@pytest.fixture
def queries():
    """Two inputs of one shape, by name."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(24, 4)).astype("float32") for name in ("query", "document")}


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


def test_lists_in_the_teachers_order_are_not_shown_to_a_student_of_another(two_inputs, queries):
    teacher, student = (
        two_inputs(names) for names in (("query", "document"), ("document", "query"))
    )
    x = list(queries.values())
    soft = keras_kd.SoftLabels.write(None, teacher=teacher, data=x, verbose=0)
    np.testing.assert_allclose(
        soft.arrays()["main"], teacher.predict(x, verbose=0)[0], rtol=1e-3, atol=1e-3
    )
    keras_kd.Distiller(student=two_inputs(("query", "document")), teacher=soft)
    with pytest.raises(ValueError, match=r"one order of their inputs.*from a dict by"):
        keras_kd.Distiller(student=student, teacher=soft)


def test_validation_data_without_answers_are_refused_at_the_start(images, soft, twins):
    distiller = keras_kd.Distiller(student=twins(), teacher=soft)
    distiller.compile("sgd", loss=cross_entropy(), evaluate_terms=True)
    train = soft.dataset(*images, batch_size=BATCH)
    before = [keras.ops.convert_to_numpy(weight) for weight in distiller.student.weights]
    with pytest.raises(ValueError, match=r"Validation data must carry the stored answers"):
        distiller.fit(train, validation_data=images, verbose=0)
    for weight, old in zip(distiller.student.weights, before):
        np.testing.assert_array_equal(weight, old)
    distiller.fit(train, validation_data=train, verbose=0)
