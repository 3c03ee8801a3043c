"""Stored answers that do not belong to the data, the student or the terms are refused."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import Distiller, losses, soft_labels
from keras_kd.teachers import Ensemble
from tests.soft_labels.training_on_answers import BATCH, cross_entropy, trained

pytestmark = pytest.mark.tensorflow


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


def test_stored_means_of_linear_teachers_are_read_as_they_were_written(net, data, write):
    members, student, x = [net(width=8), net(width=16)], net(), data[0]
    y = np.ones((len(x), 3), "float32")

    def soft_targets(teacher, *rows):
        distiller = Distiller(student=student, teacher=teacher)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        distiller.compile(keras.optimizers.SGD(0.0), loss=loss, alpha=0.5, temperature=2.0)
        return distiller.fit(*rows, verbose=0).history["multi_label_soft_targets"][0]

    options = {"data": x, "temperatures": [2.0], "dtype": "float32"}
    soft = write(teacher=Ensemble([Ensemble(members, multi_label=True)]), **options)
    found = soft_targets(soft, soft.dataset(x, y, batch_size=24))
    assert found == pytest.approx(soft_targets(members, x, y), rel=1e-5)
    with pytest.raises(ValueError, match=r"as it is stored. Expected: a sigmoid at 'output'"):
        Distiller(student=student, teacher=soft, terms=[losses.SoftTargets(2.0)])
    soft = write(teacher=members, **options)
    with pytest.raises(ValueError, match=r"a softmax at 'output'.*Ensemble.*multi_label=True"):
        soft_targets(soft, soft.dataset(x, y, batch_size=24))
    with pytest.raises(ValueError, match="must have outputs of one kind and shape"):
        Ensemble([net(activation="softmax")], multi_label=True)
