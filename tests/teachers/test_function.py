"""Functions of NumPy arrays as teachers: PyTorch's modules, scikit-learn's forests."""

import threading

import keras
import numpy as np
import pytest

from keras_kd import Distiller, losses
from keras_kd.teachers import Function

KERNEL = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")


def linear(x):
    return x @ KERNEL


@pytest.mark.tensorflow
def test_a_pytorch_module_teaches(taught, data):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))

    def answers(x):
        with torch.no_grad():
            return module(torch.from_numpy(x)).numpy()

    teacher = Function(answers, head="logits")
    np.testing.assert_allclose(teacher.predict(data[0])["output"], answers(data[0]), atol=1e-6)
    taught(teacher)


@pytest.mark.tensorflow
def test_a_forest_teaches_in_its_own_order_of_classes(taught, data):
    forests = pytest.importorskip("sklearn.ensemble")
    x, y = data
    names = np.array(["wolf", "cat", "dog"])  # of the student
    forest = forests.RandomForestClassifier(8, max_depth=3, random_state=0).fit(x, names[y])
    order = [int(np.flatnonzero(names == name)[0]) for name in forest.classes_]
    assert order == [1, 2, 0]
    teacher = Function(forest.predict_proba, head="softmax", classes=order)
    p = keras.ops.convert_to_numpy(keras.ops.softmax(teacher.predict(x)["output"]))
    np.testing.assert_allclose(p, forest.predict_proba(x)[:, [2, 0, 1]], atol=1e-6)
    taught(teacher)


def test_sigmoids_give_logits(data):
    p = 1 / (1 + np.exp(-linear(data[0])))
    teacher = Function(lambda x: 1 / (1 + np.exp(-linear(x))), head="sigmoid")
    np.testing.assert_allclose(
        teacher.predict(data[0])["output"], np.log(p / (1 - p)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.tensorflow
def test_inputs_by_name_and_another_preprocessing(data):
    a, b = data[0], data[0][:, :2]
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((2,), name="b")}
    student = keras.Model(
        inputs, keras.layers.Dense(3)(keras.layers.Concatenate()([*inputs.values()]))
    )
    seen = []

    def answers(x):
        seen.append(sorted(x) if isinstance(x, dict) else x.dtype.name)
        return linear(x["a"] if isinstance(x, dict) else x)

    for teacher in (Function(answers, "logits"), Function(answers, "logits", lambda x: 2 * x["a"])):
        distiller = Distiller(student=student, teacher=teacher)
        distiller.compile("sgd", temperature=4.0)
        distiller.fit({"a": a, "b": b}, batch_size=24, verbose=0)
    assert seen == [["a", "b"], "float32"]


@pytest.mark.tensorflow
def test_the_student_s_input_is_not_the_function_s_to_change(net, data):
    def greedy(x):
        x += 1.0
        return linear(x)

    student = net()
    distiller = Distiller(
        student=student, teacher=Function(greedy, "logits"), terms=[losses.LogitMSE()]
    )
    distiller.compile(keras.optimizers.SGD(0.0))
    loss = distiller.fit(data[0], batch_size=24, verbose=0).history["loss"][0]
    z = keras.ops.convert_to_numpy(student(data[0]))
    assert loss == pytest.approx(np.mean((linear(data[0] + 1) - z) ** 2), rel=1e-5)


def test_threads_ask_about_parts_of_a_batch(data):
    busy = threading.Barrier(3, timeout=10)

    def waits(x):
        busy.wait()
        return linear(x)

    logits = Function(waits, "logits", threads=3).predict(data[0])["output"]
    np.testing.assert_allclose(logits, linear(data[0]), rtol=1e-6)


def test_what_a_sample_shows(data):
    teacher = Function(linear, sample=data[0][:2])
    assert teacher.heads["output"] == type(teacher.heads["output"])("logits", (None, 3))
    assert (teacher.input_shapes(), teacher.input_names()) == ([(None, 4)], ["input"])
    assert Function(linear, "logits").input_shapes() is None
    named = Function(lambda x: linear(x["a"]), sample={"b": data[0][:2, :3], "a": data[0][:2]})
    assert named.input_names() == ["a", "b"]
    for head in (None, "logits", "softmax"):
        with pytest.raises(ValueError, match=r"must not be in percent.*Divide them by 100"):
            Function(lambda x: np.full((len(x), 4), 25.0), head, sample=data[0][:2])
    with pytest.raises(ValueError, match=r"one row for each sample"):
        Function(lambda x: x[0], sample=data[0])
    with pytest.raises(
        ValueError, match=r"classes must name the student's class of each.* 3 class"
    ):
        Function(linear, sample=data[0], classes=[0, 1])


def test_equal_fingerprints_mean_equal_functions(data):
    def prints(*given, **options):
        return Function(*given, **options).fingerprint()

    assert prints(linear) == prints(linear) != prints(lambda x: x)
    assert prints(linear, "logits") != prints(linear, "softmax")
    assert prints(linear, version="1") == prints(linear, version="1") != prints(linear, version="2")
    assert prints(linear, classes=[0, 1, 2]) != prints(linear, classes=[1, 0, 2])
    shown = {"sample": data[0]}
    assert prints(linear, **shown) == prints(lambda x: x @ KERNEL, **shown)
    assert prints(linear, **shown) != prints(lambda x: x @ KERNEL * 2, **shown)


def test_what_it_says_of_itself():
    assert Function(linear).described().startswith("linear, a Function asked on the host")
    assert Function(linear, name="forest").respondents == ["forest"]
    with pytest.raises(TypeError, match="fn must be a function of NumPy arrays"):
        Function(KERNEL)
    with pytest.raises(TypeError, match="version must be a string"):
        Function(linear, version=1)
