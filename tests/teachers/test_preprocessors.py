"""A task's preprocessor is applied where the task itself applies it, a teacher's own one as well.

The tasks here are small ones with KerasHub's interface; `tests/test_keras_hub.py` has real ones.
Expected values come from models that are given what the preprocessors make, by hand.
"""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import Distiller
from keras_kd.teachers import KerasModel

tf = pytest.importorskip("tensorflow", reason="preprocessors run in tf.data")
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Task(keras.Model):
    """A model with the interface of KerasHub's tasks."""

    def __init__(self, net, preprocessor):
        super().__init__(net.input, net.output)
        self.preprocessor = preprocessor

    def preprocess_samples(self, x, y=None, sample_weight=None):
        if self.preprocessor is not None:
            x = self.preprocessor(x)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)


def to_unit(x):
    return x / 255.0


def to_signs(x):
    return x / 127.5 - 1.0


def net(width=4):
    keras.utils.set_random_seed(width)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(width, activation="tanh")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3)(hidden))


@pytest.fixture
def raw():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (24, 6)).astype("float32")
    return x, rng.integers(0, 3, 24), rng.uniform(0.5, 2.0, 24).astype("float32")


def distiller(student, teacher):
    made = Distiller(student=student, teacher=teacher)
    made.compile(keras.optimizers.SGD(0.1), loss=CROSS_ENTROPY, metrics=["accuracy"])
    return made


def with_teacher(role):
    """Returns student and teacher of which some are tasks, and the same on what they make."""
    plain = {
        "student": (net(), net(8), to_unit),
        "teacher": (net(), KerasModel(net(8), preprocess=to_signs), lambda x: x),
        "both": (net(), KerasModel(net(8), preprocess=lambda x: 2.0 * x - 1.0), to_unit),
    }[role]
    student = net() if role == "teacher" else Task(net(), to_unit)
    teacher = net(8) if role == "student" else Task(net(8), to_signs)
    return (student, teacher), plain


def close(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-5, err_msg=name)


def as_dataset(*parts):
    return (tf.data.Dataset.from_tensor_slices(parts).batch(8),)


@pytest.mark.parametrize("role", ["student", "teacher", "both"])
@pytest.mark.parametrize("source", [lambda *parts: parts, as_dataset], ids=["arrays", "dataset"])
def test_fit(raw, role, source):
    x, y, weights = raw
    tasks, (student, teacher, made_of) = with_teacher(role)
    given = {"epochs": 2, "shuffle": False, "verbose": 0}
    size = {} if source is as_dataset else {"batch_size": 8}

    def parts(x):
        arguments = source(x, y, weights)
        return dict(zip(("x", "y", "sample_weight"), arguments)) | size

    d, reference = distiller(*tasks), distiller(student, teacher)
    held_out = as_dataset(x[:8], y[:8])[0], as_dataset(made_of(x[:8]), y[:8])[0]
    logs = d.fit(**parts(x), validation_data=held_out[0], **given).history
    expected = reference.fit(**parts(made_of(x)), validation_data=held_out[1], **given).history
    close(logs, expected)
    for a, b in zip(d.student.get_weights(), reference.student.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_one_preprocessor_of_both_runs_once(raw):
    calls = []

    def counting(x):
        calls.append(x)
        return to_unit(x)

    d = distiller(Task(net(), counting), Task(net(8), counting))
    logs = d.train_on_batch(*raw, return_dict=True)
    expected = distiller(net(), net(8)).train_on_batch(to_unit(raw[0]), *raw[1:], return_dict=True)
    assert len(calls) == 1
    close(logs, expected)


@pytest.mark.parametrize("role", ["student", "teacher", "both"])
def test_single_batches(raw, role):
    tasks, (student, teacher, made_of) = with_teacher(role)
    d, reference = distiller(*tasks), distiller(student, teacher)
    x, y, weights = raw
    for method in ("train_on_batch", "test_on_batch"):
        logs = getattr(d, method)(x, y, weights, return_dict=True)
        close(logs, getattr(reference, method)(made_of(x), y, weights, return_dict=True))
    answers = d.predict_on_batch(x), reference.predict_on_batch(made_of(x))
    np.testing.assert_allclose(*answers, atol=1e-5)


@pytest.mark.parametrize("source", [lambda *parts: parts, as_dataset], ids=["arrays", "dataset"])
def test_evaluate_and_predict(raw, source):
    d, reference = distiller(Task(net(), to_unit), net(8)), distiller(net(), net(8))
    x, y, weights = raw
    logs = d.evaluate(*source(x, y), verbose=0, return_dict=True)
    close(logs, reference.evaluate(to_unit(x), y, verbose=0, return_dict=True))
    expected = reference.predict(to_unit(x), verbose=0)
    np.testing.assert_allclose(d.predict(*source(x), verbose=0), expected, atol=1e-5)
    if source is not as_dataset:
        logs = d.evaluate(x, y, sample_weight=weights, batch_size=5, verbose=0)
        given = {"sample_weight": weights, "batch_size": 5, "verbose": 0}
        np.testing.assert_allclose(logs, reference.evaluate(to_unit(x), y, **given), rtol=1e-4)


def test_splits_class_weights_and_shuffles_as_keras_does(raw):
    x, y, _ = raw
    d, reference = distiller(Task(net(), to_unit), net(8)), distiller(net(), net(8))
    given = {"validation_split": 0.25, "class_weight": {0: 3.0, 1: 1.0, 2: 0.5}, "verbose": 0}
    given |= {"shuffle": False, "batch_size": 6}
    close(d.fit(x, y, **given).history, reference.fit(to_unit(x), y, **given).history)
    seen = []

    def noting(batch):
        tf.py_function(lambda b: seen.append(b.numpy()[:, 0]), [batch], [])
        return to_unit(batch)

    d = distiller(Task(net(), noting), net(8))
    d.fit(x, y, batch_size=24, epochs=2, verbose=0)
    first, second = seen[-2:]
    assert set(first) == set(second) == set(x[:, 0])
    assert list(first) != list(second)


def test_without_preprocessor_the_data_pass_as_they_are(raw):
    x, y, _ = raw
    student, teacher = Task(net(), to_unit), Task(net(8), to_signs)
    d = distiller(student, teacher)
    student.preprocessor = teacher.preprocessor = None
    logs = d.train_on_batch(to_unit(x), y, return_dict=True)
    close(logs, distiller(net(), net(8)).train_on_batch(to_unit(x), y, return_dict=True))


def test_preprocess_takes_the_place_of_the_teachers_preprocessor(raw):
    x, y, _ = raw
    teacher = KerasModel(Task(net(8), to_signs), preprocess=lambda x: x + 1.0)
    logs = distiller(Task(net(), to_unit), teacher).train_on_batch(x, y, return_dict=True)
    reference = distiller(net(), KerasModel(net(8), preprocess=lambda x: x + 1.0))
    close(logs, reference.train_on_batch(to_unit(x), y, return_dict=True))


def test_the_teachers_input_may_have_another_size():
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1)).astype("float32")

    def image_net(size):
        inputs = keras.Input((size, size, 1))
        return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))

    small, large = image_net(4), image_net(16)
    student = Task(small, keras.layers.Resizing(4, 4))
    teacher = Task(large, keras.layers.Resizing(16, 16))
    d = Distiller(student=student, teacher=teacher)
    d.compile(keras.optimizers.SGD(0.0), temperature=1.0)
    for model in (small, large):
        model.set_weights([weight / 100.0 for weight in model.get_weights()])
    value = d.fit(images, verbose=0).history["soft_targets"]
    z = [m(keras.ops.convert_to_tensor(m.preprocessor(images))) for m in (student, teacher)]
    log_q, log_p = (np.log(np.asarray(keras.ops.softmax(each), "float64")) for each in z)
    expected = (np.exp(log_p) * (log_p - log_q)).sum(-1).mean()
    np.testing.assert_allclose(value, [expected], rtol=1e-3)


def test_stored_answers_are_the_tasks_own(raw):
    x, y, _ = raw
    teacher = Task(net(8), to_signs)
    soft = keras_kd.SoftLabels.write(None, teacher=teacher, data=x, dtype="float32", verbose=0)
    expected = np.asarray(teacher(to_signs(x)))
    np.testing.assert_allclose(soft.arrays()["output"], expected, atol=1e-5)
    d = distiller(Task(net(), to_unit), soft)
    logs = d.fit(soft.dataset(x, y, batch_size=24), epochs=3, verbose=0).history
    reference = distiller(net(), KerasModel(net(8), preprocess=lambda x: 2.0 * x - 1.0))
    close(logs, reference.fit(to_unit(x), y, batch_size=24, epochs=3, verbose=0).history)


def test_labels_of_two_preprocessors_must_agree():
    class NextTokens(Task):
        def preprocess_samples(self, x, y=None, sample_weight=None):
            tokens = self.preprocessor(x)
            return tokens[:, :-1], tokens[:, 1:]

    def tokens_net(width):
        inputs = keras.Input((5,), dtype="int32")
        hidden = keras.layers.Embedding(9, width)(inputs)
        return keras.Model(inputs, keras.layers.Dense(9)(hidden))

    def plus(n):
        return lambda x: x + n

    tokens = np.random.default_rng(0).integers(0, 8, (4, 6)).astype("int32")
    student, teachers = NextTokens(tokens_net(4), plus(0)), [tokens_net(6), tokens_net(7)]
    d = distiller(student, NextTokens(teachers[0], plus(0)))
    assert d.fit(tokens, verbose=0).history["hard_loss"][0] > 0
    d.teacher = NextTokens(teachers[1], plus(1))
    for train in (lambda: d.fit(tokens, verbose=0), lambda: d.train_on_batch(tokens)):
        with pytest.raises(ValueError, match=r"must make the same labels.*Share one"):
            train()


def test_what_is_refused(raw):
    x, y, _ = raw
    d = distiller(Task(net(), to_unit), net(8))
    with pytest.raises(TypeError, match=r"x must be data that .* mapped over.*Received: generator"):
        d.fit((part for part in [(x, y)]), verbose=0)
    with pytest.raises(ValueError, match="y and sample_weight must come from the dataset"):
        d.fit(*as_dataset(x), y, verbose=0)
    with pytest.raises(ValueError, match=r"the same number in each array.*24, 23"):
        d.fit(x, y[1:], verbose=0)
    with pytest.raises(ValueError, match="must hold a batch"):
        d.predict(np.float32(1.0), verbose=0)
    with pytest.raises(ValueError, match="validation_split must leave"):
        d.fit(x, y, validation_split=0.99, verbose=0)
    d = distiller(Task(net(), lambda x: x["pixels"] / 255.0), net(8))
    for train in (lambda: d.fit(x, y, verbose=0), lambda: d.train_on_batch(x, y)):
        with pytest.raises(ValueError, match=r"must be raw data.*preprocessor = None"):
            train()


@pytest.mark.parametrize("role", ["student", "teacher", "both"])
def test_terms_are_evaluated_on_what_the_teacher_is_shown(raw, role):
    tasks, (student, teacher, made_of) = with_teacher(role)
    logs = []
    for models, x in ((tasks, raw[0]), ((student, teacher), made_of(raw[0]))):
        d = Distiller(student=models[0], teacher=models[1])
        d.compile(keras.optimizers.SGD(0.0), loss=CROSS_ENTROPY, evaluate_terms=True)
        held_out = {"validation_data": (x[:8], raw[1][:8]), "verbose": 0}
        logs.append(d.fit(x, raw[1], batch_size=24, **held_out).history)
        logs[-1] |= d.evaluate(x, raw[1], verbose=0, return_dict=True)
        logs[-1] |= d.test_on_batch(x, raw[1], return_dict=True)
    assert "val_soft_targets" in logs[0]
    close(*logs)
