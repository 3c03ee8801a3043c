"""What all teachers on the host share: asked from TensorFlow's graphs, refused where none can."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller, SoftLabels, losses
from keras_kd.teachers import Ensemble, Function
from keras_kd.teachers.host import kind_of


@pytest.fixture
def doubled():
    """A function whose logits are known."""
    kernel = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    return lambda x: np.asarray(x) @ kernel


def test_what_outputs_are_for_certain():
    assert kind_of(np.array([[0.25, 0.75], [1.0, 0.0]])) == "softmax"
    assert kind_of(np.array([[0.25, 1.5]])) == kind_of(np.array([[0.25, -0.1]])) == "logits"
    assert kind_of(np.array([[0.25, 0.5]])) is kind_of(np.array([[1.0], [1.0]])) is None


@pytest.mark.tensorflow
def test_it_is_one_member_among_others(net, doubled, data):
    model, student = net(), net()
    terms = [losses.LogitMSE()]
    teacher = [model, Function(doubled, "logits"), Function(doubled, "logits")]
    distiller = Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.SGD(0.0))
    logs = distiller.fit(data[0], batch_size=24, verbose=0).history
    logits = keras.ops.convert_to_numpy(model(data[0])) / 3 + doubled(data[0]) * 2 / 3
    difference = logits - keras.ops.convert_to_numpy(student(data[0]))
    assert logs["logit_mse"][0] == pytest.approx(np.mean(difference**2), rel=1e-5)
    assert Ensemble(teacher).fingerprint() == Ensemble(teacher).fingerprint()


@pytest.mark.tensorflow
def test_xla_is_refused_and_auto_goes_without(net, doubled, data):
    teacher = Function(doubled, "logits")
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("sgd", jit_compile=True)
    distiller.teacher = [net(), teacher]
    with pytest.raises(ValueError, match=r"must not be part of what a compiler.*SoftLabels.write"):
        distiller.fit(data[0], verbose=0)
    with pytest.raises(ValueError, match="must not be part of what a compiler compiles"):
        distiller.compile("sgd", jit_compile=True)
    distiller.compile("sgd")
    distiller.jit_compile = True  # as Keras resolves "auto" on a GPU
    distiller.fit(data[0], verbose=0)
    assert distiller.jit_compile is False


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow's graphs can")
def test_other_backends_take_its_stored_answers(net, doubled, data):
    teacher = Function(doubled, "logits")
    with pytest.raises(ValueError, match=r"TensorFlow, whose graphs.*SoftLabels.write"):
        Distiller(student=net(), teacher=teacher)
    np.testing.assert_allclose(teacher.predict(data[0])["output"], doubled(data[0]), rtol=1e-6)
    pytest.importorskip("tensorflow")
    soft = SoftLabels.write(None, teacher=teacher, data=data[0], verbose=0)
    distiller = Distiller(student=net(), teacher=soft)
    distiller.compile("sgd")
    distiller.fit(soft.dataset(data[0], batch_size=8), verbose=0)


@pytest.mark.tensorflow
def test_what_asks_beside_the_steps_finds_it_too(net, doubled, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=Function(doubled, "logits", name="forest"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("sgd", loss=loss, temperature="auto", evaluate_terms=True)
    history = distiller.fit(x, y, batch_size=8, validation_data=(x, y), verbose=0).history
    assert history["temperature"][0] >= 1.0
    assert history["val_soft_targets"][0] > 0.0
    assert "teacher=forest" in repr(distiller)


@pytest.mark.tensorflow
@pytest.mark.parametrize("entry", ["fit", "train_on_batch", "evaluate", "test_on_batch"])
def test_an_error_on_the_host_is_the_caller_s(net, data, entry):
    def fails(x):
        raise KeyError("the network is down")

    distiller = Distiller(student=net(), teacher=[net(), Function(fails, "logits")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("sgd", loss=loss, evaluate_terms=True)
    options = {"verbose": 0} if entry in ("fit", "evaluate") else {}
    with pytest.raises(KeyError, match="the network is down"):
        getattr(distiller, entry)(*data, **options)


@pytest.mark.tensorflow
def test_nan_is_reported_with_its_batch_and_sample(net, doubled, data):
    bad = data[0].copy()
    bad[17] = np.nan
    x = data[0].copy()

    def answers(x):
        return doubled(np.where(x == data[0][17], np.nan, x))

    distiller = Distiller(
        student=net(), teacher=[net(), Function(answers, "logits", name="forest")]
    )
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="NaN or Inf from 'forest', first in batch 3"):
        distiller.fit(x, batch_size=8, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="NaN or Inf for sample 17 in view 0"):
        SoftLabels.write(None, teacher=Function(answers, "logits"), data=x, verbose=0)


@pytest.mark.parametrize(
    ("answers", "received"),
    [
        (lambda x: np.zeros(len(x)), r"shape \(24,\)"),
        (lambda x: np.zeros((len(x) - 1, 3)), r"shape \(23, 3\)"),
        (lambda x: np.zeros((len(x), 2, 3)), r"shape \(24, 2, 3\)"),
        (lambda x: np.full((len(x), 3), "cat"), "of <U3"),
    ],
)
def test_answers_must_be_rows_of_numbers(answers, received, data):
    with pytest.raises(ValueError, match=rf"one row for each sample.*Received: .*{received}"):
        Function(answers, "logits").predict(data[0])


@pytest.mark.tensorflow
def test_another_number_of_classes_is_not_broadcast(net, data):
    distiller = Distiller(student=net(), teacher=Function(lambda x: x[:, :1], "logits"))
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"shape \(24, 3\). Received: shape \(24, 1\)"):
        distiller.fit(data[0], batch_size=24, verbose=0)


def test_heads_and_preprocessing_that_cannot_be(net, doubled, data):
    with pytest.raises(ValueError, match=r"preprocess of 'half' must keep the batch size.* 24 sam"):
        Function(doubled, "logits", lambda x: x[::2], name="half").predict(data[0])
    with pytest.raises(ValueError, match="head must be given"):
        Function(doubled).predict(data[0])
    with pytest.raises(ValueError, match=r"must be 'logits', which its answers are.*outside of 0"):
        Function(doubled, "softmax").predict(data[0])
    with pytest.raises(ValueError, match=r"must be 'softmax', which its answers are.*add up to 1"):
        Function(lambda x: np.full((len(x), 4), 0.25), "logits").predict(data[0])
    with pytest.raises(ValueError, match="head must be 'logits', 'softmax' or 'sigmoid'"):
        Function(doubled, "linear")
    with pytest.raises(TypeError, match="preprocess must map the student's input"):
        Function(doubled, "logits", preprocess=3)
    if keras.backend.backend() == "tensorflow":
        with pytest.raises(
            ValueError, match=r"teacher_head must be given.* head= to one of keras_"
        ):
            Distiller(student=net(), teacher=Function(doubled))


def test_an_empty_batch_is_answered_without_asking(doubled):
    teacher = Function(doubled, "logits", sample=np.ones((2, 4), "float32"))
    assert kind_of(np.empty((0, 3))) is None
    assert teacher.predict(np.empty((0, 4), "float32"))["output"].shape[0] == 0


def test_a_function_that_writes_spoils_nothing():
    def greedy(x):
        x *= 0.0
        return x @ np.ones((4, 3), "float32")

    x = np.ones((2, 4), "float32")
    teacher = Function(greedy, "logits")
    Ensemble([teacher, teacher]).predict(x)
    np.testing.assert_array_equal(x, 1.0)
