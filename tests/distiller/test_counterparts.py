"""Which input or output of the teacher is which of the student's: names decide, not positions."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, Term
from keras_kd.losses import SoftTargets
from keras_kd.teachers import KerasModel

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SEVERAL = "by name, since several orders fit"


@pytest.fixture
def two_inputs():
    """Builds `model(names, keyed)`, whose inputs of one shape are listed in an order."""

    def build(names, keyed=False, shapes=((4,), (4,)), dtypes=("float32", "float32")):
        names = list(names)
        by_name = {
            name: keras.Input(shape, name=name, dtype=dtype)
            for name, shape, dtype in zip(names, shapes, dtypes)
        }
        ordered = sorted(by_name) if None not in by_name else names
        hidden = [layers.Dense(3 + n)(by_name[name]) for n, name in enumerate(ordered)]
        outputs = layers.Dense(3)(layers.Concatenate()(hidden))
        return keras.Model(by_name if keyed else [by_name[name] for name in names], outputs)

    return build


@pytest.fixture
def unnamed():
    """Builds a model of inputs that Keras names."""

    def build(*shapes, dtypes=("float32", "float32")):
        inputs = [keras.Input(shape, dtype=dtype) for shape, dtype in zip(shapes, dtypes)]
        floats = [keras.ops.cast(tensor, "float32") for tensor in inputs]
        return keras.Model(inputs, layers.Dense(3)(layers.Concatenate()(floats)))

    return build


@pytest.fixture
def two_outputs():
    """Builds a model whose outputs are layers of these names, or a dict by these."""

    def build(names, keyed=False, units=(3, 3), width=5):
        inputs = keras.Input((4,))
        hidden = layers.Dense(width, activation="relu")(inputs)
        outputs = [
            layers.Dense(size, name=None if keyed else name)(hidden)
            for name, size in zip(names, units)
        ]
        return keras.Model(inputs, dict(zip(names, outputs)) if keyed else outputs)

    return build


def asked(distiller, x):
    """Returns what the teacher answers to a batch, by the student's output names."""
    answers = distiller._objective.teacher(x, distiller._logits.names)
    return {name: keras.ops.convert_to_numpy(values) for name, values in answers.items()}


@pytest.fixture
def pair():
    """Two inputs of one shape, by name."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(24, 4)).astype("float32") for name in ("query", "document")}


@pytest.mark.parametrize(("keyed", "teacher_keyed"), [*itertools.product([False, True], repeat=2)])
def test_inputs_are_matched_by_name_in_every_container(two_inputs, pair, keyed, teacher_keyed):
    student = two_inputs(("query", "document"), keyed)
    teacher = two_inputs(("document", "query"), teacher_keyed)
    right = teacher.predict(pair, verbose=0)
    order = sorted(pair) if keyed else list(pair)  # Keras' own for a dict of inputs
    in_order = [pair[name] for name in order]
    more = {"a": pair["query"], **pair, "z": pair["query"]}
    distiller = Distiller(student=student, teacher=teacher)
    for x in (pair, dict(reversed(pair.items())), more, in_order, tuple(in_order)):
        np.testing.assert_allclose(asked(distiller, x)["output"], right, rtol=1e-5, atol=1e-6)


def test_a_training_has_each_input_where_it_belongs(two_inputs, pair, frozen, soft_targets):
    student, teacher = two_inputs(("query", "document")), two_inputs(("document", "query"))
    expected = soft_targets(
        teacher.predict(pair, verbose=0), student.predict(pair, verbose=0), 4.0
    ).mean()
    run = frozen(Distiller(student=student, teacher=teacher), CROSS_ENTROPY)
    for x in (list(pair.values()), pair):
        assert run(x, np.zeros(24, int))["soft_targets"] == pytest.approx(expected, rel=1e-5)


def test_a_dict_may_hold_more_than_the_student_takes(two_inputs, pair):
    student, teacher = (two_inputs(["query"], keyed=True) for _ in range(2))
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(metrics=["accuracy"])
    right = student.predict({"query": pair["query"]}, verbose=0)
    np.testing.assert_allclose(distiller.predict(pair, verbose=0), right, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"must have the inputs of.*\['query'\].*\['document'\]"):
        asked(distiller, {"document": pair["document"]})


def test_a_teacher_may_take_some_of_the_students_inputs(two_inputs, pair):
    for keyed in (False, True):
        student, teacher = two_inputs(("query", "document")), two_inputs(["document"], keyed)
        distiller = Distiller(student=student, teacher=teacher)
        right = teacher.predict({"document": pair["document"]}, verbose=0)
        answers = asked(distiller, list(pair.values()))["output"]
        np.testing.assert_allclose(answers, right, rtol=1e-5, atol=1e-6)
        with pytest.raises(ValueError, match="must take the same input"):
            Distiller(student=teacher, teacher=student)


def test_inputs_of_one_name_must_have_one_shape(two_inputs):
    student = two_inputs(("query", "document"), shapes=((4,), (5,)))
    teacher = two_inputs(("query", "document"), shapes=((5,), (4,)))
    with pytest.raises(ValueError, match=r"must take the same input.*'query' \(None, 4\)"):
        Distiller(student=student, teacher=teacher)


def test_an_error_asks_where_several_orders_of_inputs_fit(unnamed, two_inputs, pair):
    student, teacher = unnamed((4,), (4,)), unnamed((4,), (4,))
    for other in (teacher, two_inputs(("query", "document"))):
        with pytest.raises(ValueError, match=f"the same inputs {SEVERAL}.*preprocess=lambda x:"):
            Distiller(student=student, teacher=other)
    swapped = KerasModel(teacher, preprocess=lambda x: [x[1], x[0]])
    distiller = Distiller(student=student, teacher=swapped)
    a, b = pair.values()
    right = teacher.predict([b, a], verbose=0)
    np.testing.assert_allclose(asked(distiller, [a, b])["output"], right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by", ["shape", "dtype"])
def test_the_only_order_of_inputs_that_fits_is_taken(unnamed, by):
    shapes = ((4,), (6,)) if by == "shape" else ((4,), (4,))
    dtypes = ("float32", "int32")
    student = unnamed(*shapes, dtypes=dtypes)
    teacher = unnamed(*reversed(shapes), dtypes=dtypes[::-1])
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 9, (24, *shape)).astype(dtype) for shape, dtype in zip(shapes, dtypes)]
    answers = asked(Distiller(student=student, teacher=teacher), x)["output"]
    right = teacher.predict(x[::-1], verbose=0)
    np.testing.assert_allclose(answers, right, rtol=1e-5, atol=1e-6)


def test_one_input_each_needs_no_name(two_inputs, pair):
    student, teacher = two_inputs(["query"]), two_inputs(["document"], keyed=True)
    right = teacher.predict({"document": pair["query"]}, verbose=0)
    distiller = Distiller(student=student, teacher=teacher)
    for x in (pair["query"], [pair["query"]], {"query": pair["query"]}):
        np.testing.assert_allclose(asked(distiller, x)["output"], right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("keyed", "teacher_keyed"), [*itertools.product([False, True], repeat=2)])
def test_outputs_are_matched_by_name_in_every_container(
    two_outputs, data, frozen, soft_targets, keyed, teacher_keyed
):
    x, y = data
    student = two_outputs(("main", "aux"), keyed)
    teacher = two_outputs(("aux", "main"), teacher_keyed, width=7)
    t, s = (
        model.predict(x, verbose=0) if each else dict(zip(names, model.predict(x, verbose=0)))
        for model, each, names in (
            (teacher, teacher_keyed, ("aux", "main")),
            (student, keyed, ("main", "aux")),
        )
    )
    run = frozen(
        Distiller(student=student, teacher=teacher), {"main": CROSS_ENTROPY, "aux": CROSS_ENTROPY}
    )
    weights = np.linspace(0.5, 1.5, 24, dtype="float32")
    for labels in ({"main": y, "aux": y}, {"aux": y, "main": y}):
        logs = run(x, labels, sample_weight={"aux": weights, "main": np.ones(24, "float32")})
        for name, weight in (("main", 1.0), ("aux", weights)):
            expected = (weight * soft_targets(t[name], s[name], 4.0)).mean()
            assert logs[f"{name}_soft_targets"] == pytest.approx(expected, rel=1e-5)


def test_outputs_of_a_nested_model_have_their_names_in_it(two_outputs, data):
    models = []
    for names in (("main", "aux"), ("aux", "main")):
        inputs = keras.Input((4,))
        models.append(keras.Model(inputs, two_outputs(names)(inputs)))
    student, teacher = models
    answers = asked(Distiller(student=student, teacher=teacher), data[0])
    aux, main = teacher.predict(data[0], verbose=0)
    first, second = (answers[name] for name in student_names(student))
    np.testing.assert_allclose(first, main, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, aux, rtol=1e-5, atol=1e-6)


def student_names(model):
    return [f"output_{n}" for n in range(len(model.outputs))]


def test_an_error_asks_where_several_orders_of_outputs_fit(two_outputs, data):
    student, teacher = two_outputs((None, None)), two_outputs((None, None))
    names = student.output_names
    for other in (teacher, two_outputs(("main", "aux"), keyed=True)):
        with pytest.raises(ValueError, match=f"the same outputs {SEVERAL}.*{names[0]!r}: t.out"):
            Distiller(student=student, teacher=other)
    named = keras.Model(teacher.inputs, dict(zip(names, reversed(teacher.outputs))))
    answers = asked(Distiller(student=student, teacher=named), data[0])
    right = teacher.predict(data[0], verbose=0)
    for name, values in zip(names, reversed(right)):
        np.testing.assert_allclose(answers[name], values, rtol=1e-5, atol=1e-6)


def test_the_only_order_of_outputs_that_fits_is_taken(two_outputs, data):
    student = two_outputs((None, None), units=(3, 2))
    for teacher, places in (
        (two_outputs((None, None), units=(3, 2)), (0, 1)),
        (two_outputs((None, None), units=(2, 3)), (1, 0)),
    ):
        terms = [Term(SoftTargets(), output=student.output_names[1])]
        for given in (None, terms):
            distiller = Distiller(student=student, teacher=teacher, terms=given)
            answers = asked(distiller, data[0])
            right = teacher.predict(data[0], verbose=0)
            for name, place in zip(student.output_names, places):
                if given is None or name == student.output_names[1]:
                    np.testing.assert_allclose(answers[name], right[place], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="must have the same outputs"):
        Distiller(student=student, teacher=two_outputs((None, None), units=(3, 4)))


def test_equal_numbers_of_keras_are_equal_names(data):
    def model(order):
        inputs = keras.Input((4,))
        outputs = {name: layers.Dense(3, name=name)(inputs) for name in ("dense", "dense_1")}
        return keras.Model(inputs, [outputs[name] for name in order])

    student, teacher = model(("dense", "dense_1")), model(("dense_1", "dense"))
    answers = asked(Distiller(student=student, teacher=teacher), data[0])
    second, first = teacher.predict(data[0], verbose=0)
    np.testing.assert_allclose(answers["dense"], first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(answers["dense_1"], second, rtol=1e-5, atol=1e-6)


def test_numbers_of_keras_that_are_equal_by_chance_decide_nothing():
    def model(*names, kind=layers.Dense):
        inputs = keras.Input((4,))
        return keras.Model(inputs, [kind(3, name=name)(inputs) for name in names])

    class OwnHead(layers.Dense):
        pass

    for kind, name in ((layers.Dense, "dense"), (OwnHead, "own_head")):
        student = model(f"{name}_1", f"{name}_2", kind=kind)
        for names in ((name, f"{name}_1"), (name, f"{name}_1", f"{name}_2", "dense_9")):
            with pytest.raises(ValueError, match="must have the same outputs"):
                Distiller(student=student, teacher=model(*names, kind=kind))


@pytest.mark.parametrize("of", ["one tensor", "a dict", "another name", "more", "a list"])
def test_a_teacher_may_have_only_what_the_terms_name(two_outputs, data, frozen, soft_targets, of):
    x, y = data
    student = two_outputs(("cls", "dist"), keyed=True)
    inputs = keras.Input((4,))
    logits = layers.Dense(3, name="cls")(inputs)
    other = layers.Dense(3, name="dist")(inputs)
    outputs = {
        "one tensor": logits,  # whatever its layer is called
        "a dict": {"dist": logits},
        "another name": {"logits": logits},
        "more": {"dist": logits, "boxes": other},
        "a list": [other, logits],
    }[of]
    teacher = keras.Model(inputs, outputs)
    distiller = Distiller(
        student=student, teacher=teacher, terms=[Term(SoftTargets(), output="dist")]
    )
    logs = frozen(distiller, {"cls": CROSS_ENTROPY})(x, {"cls": y})
    right = keras.Model(inputs, other if of == "a list" else logits).predict(x, verbose=0)
    expected = soft_targets(right, student.predict(x, verbose=0)["dist"], 4.0).mean()
    assert logs["dist_soft_targets"] == pytest.approx(expected, rel=1e-5)


def test_a_teacher_of_another_output_is_refused(two_outputs, net):
    student = two_outputs(("cls", "dist"), keyed=True)
    inputs = keras.Input((4,))
    teacher = keras.Model(inputs, {"cls": layers.Dense(3)(inputs)})
    with pytest.raises(ValueError, match=r"the same outputs.*\['dist'\].*\['cls'\]"):
        Distiller(student=student, teacher=teacher, terms=[Term(SoftTargets(), output="dist")])
    with pytest.raises(ValueError, match=r"the same outputs.*terms=\[...\] whose output= is"):
        Distiller(student=student, teacher=net())
    terms = [Term(SoftTargets(), output=name) for name in ("cls", "dist")]
    with pytest.raises(ValueError, match=r"the same outputs.*\['output'\]"):
        Distiller(student=student, teacher=net(), terms=terms)
