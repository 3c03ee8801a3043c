"""Who teaches: other inputs, another precision, shared layers, and nothing left behind."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import Distiller, SoftLabels
from keras_kd.teachers.keras_model import KerasModel

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def wide():
    """A teacher of 2x2 images in bytes."""
    return keras.Sequential(
        [
            keras.Input((2, 2), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(3),
        ]
    )


def to_bytes(x):
    return keras.ops.cast(keras.ops.reshape(keras.ops.clip(x, 0, 1) * 255, (-1, 2, 2)), "uint8")


def test_preprocess_brings_the_students_input_to_the_teacher(net, data, wide, frozen, soft_targets):
    x, y = data
    teacher, student = KerasModel(wide, preprocess=to_bytes), net()
    distiller = Distiller(student=student, teacher=teacher)
    assert distiller.teacher is teacher
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    expected = soft_targets(wide(to_bytes(x)), student(x), 4.0).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=1e-5)


def test_preprocess_may_be_a_layer(net, data, frozen, soft_targets):
    x, y = data
    resize = keras.Sequential([keras.Input((4,)), layers.Rescaling(2.0)])
    big, student = net(width=32), net()
    distiller = Distiller(student=student, teacher=KerasModel(big, preprocess=resize))
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    expected = soft_targets(big(2 * x), student(x), 4.0).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=1e-5)


def test_another_input_without_preprocess_is_refused(net, wide):
    with pytest.raises(ValueError, match=r"must take the same input.*\(None, 4\).*\(None, 2, 2\)"):
        Distiller(student=net(), teacher=wide)


@pytest.mark.parametrize(("shape", "other"), [((4,), (4, 1)), ((4, 1), (4,)), ((None, 3), (5, 3))])
def test_inputs_that_keras_takes_for_each_other(shape, other):
    def model(shape):
        inputs = keras.Input(shape)
        hidden = inputs if len(shape) == 1 else layers.GlobalAveragePooling1D()(inputs)
        return keras.Model(inputs, layers.Dense(3)(hidden))

    Distiller(student=model(shape), teacher=model(other))


def test_a_teacher_may_need_fewer_inputs_of_a_dict(frozen, soft_targets):
    def model(*names):
        inputs = {name: keras.Input((2,), name=name) for name in names}
        merged = layers.Concatenate()([*inputs.values(), *inputs.values()])
        return keras.Model(inputs, layers.Dense(3)(merged))

    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(24, 2)).astype("float32") for name in "ab"}
    student, teacher = model("a", "b"), model("a")
    distiller = Distiller(
        student=student, teacher=KerasModel(teacher, preprocess=lambda x: {"a": x["a"]})
    )
    logs = frozen(distiller)(x)
    expected = soft_targets(teacher({"a": x["a"]}), student(x), 4.0).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="must take the same input"):
        Distiller(student=teacher, teacher=student)


def test_what_is_no_function_is_no_preprocess(net):
    with pytest.raises(TypeError, match="preprocess must map the student's input"):
        KerasModel(net(), preprocess=224)


@pytest.mark.parametrize(
    "random",
    [
        lambda: layers.GaussianNoise(0.5),
        lambda: keras.Sequential([keras.Input((4,)), layers.Dropout(0.5)]),
    ],
)
def test_layers_with_random_numbers_are_no_preprocess(net, random):
    with pytest.raises(ValueError, match="preprocess must map an input to the same output"):
        KerasModel(net(), preprocess=random())


@pytest.mark.parametrize("of", ["layer", "generator", "global"])
def test_functions_with_random_numbers_are_no_preprocess(net, data, of):
    noise, generator = layers.GaussianNoise(0.5), keras.random.SeedGenerator(1)
    functions = {
        "layer": lambda x: noise(x, training=True),
        "generator": lambda x: x + keras.random.normal((4,), seed=generator),
        "global": lambda x: x + keras.random.normal((4,)),
    }
    teacher = KerasModel(net(), preprocess=functions[of])
    distiller = Distiller(student=net(), teacher=teacher)
    distiller.compile("sgd")
    message = "preprocess must map an input to the same output|only use seeded random ops"  # JAX's
    with pytest.raises(ValueError, match=message):
        distiller.fit(data[0], verbose=0)


def test_weights_in_front_of_the_teacher_are_those_of_now(net, data, frozen, soft_targets):
    x, y = data
    front = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    big, student = net(width=32), net()
    distiller = Distiller(student=student, teacher=KerasModel(big, preprocess=front))
    run = frozen(distiller, CROSS_ENTROPY)
    for _ in range(2):
        expected = soft_targets(big(front(x)), student(x), 4.0).mean()
        assert run(x, y)["soft_targets"] == pytest.approx(expected, rel=1e-5)
        front.set_weights([3 * weight + 1 for weight in front.get_weights()])


def test_a_head_is_given_once(net):
    with pytest.raises(ValueError, match="teacher_head must be left to a teacher"):
        Distiller(student=net(), teacher=KerasModel(net(), head="logits"), teacher_head="logits")


@pytest.mark.parametrize("student_dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("teacher_dtype", ["float32", "mixed_float16"])
def test_policies_may_differ(data, frozen, soft_targets, student_dtype, teacher_dtype):
    x, y = data

    def model(dtype):
        return keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype=dtype)])

    student, teacher = model(student_dtype), model(teacher_dtype)
    distiller = Distiller(student=student, teacher=teacher)
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    scaled = isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (student_dtype == "mixed_float16")
    t, s = (keras.ops.convert_to_numpy(keras.ops.cast(m(x), "float32")) for m in (teacher, student))
    assert logs["soft_targets"] == pytest.approx(soft_targets(t, s, 4.0).mean(), rel=2e-2)


def test_half_precision_is_found_inside_of_wrappers(net):
    inner = layers.Dense(3, dtype="mixed_float16")
    inputs = keras.Input((5, 4))
    student = keras.Model(inputs, layers.TimeDistributed(inner)(inputs))
    teacher = keras.Model(inputs, layers.Dense(3)(inputs))
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile("sgd")
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)


def test_shared_layers_stay_the_students(data):
    x, y = data
    inputs = keras.Input((4,))
    shared = layers.Dense(8, activation="relu", name="shared")
    student = keras.Model(inputs, layers.Dense(3)(shared(inputs)))
    teacher = keras.Model(inputs, layers.Dense(3, name="own")(shared(inputs)))
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.SGD(0.5), loss=CROSS_ENTROPY)
    before, own = (teacher.get_layer(name).get_weights()[0] for name in ("shared", "own"))
    distiller.fit(x, y, epochs=2, verbose=0)
    assert shared.trainable
    assert np.abs(before - shared.get_weights()[0]).max() > 1e-3
    np.testing.assert_array_equal(own, teacher.get_layer("own").get_weights()[0])


def test_the_teachers_answer_has_the_shared_layers_weights_of_now(data, soft_targets):
    x, _ = data
    inputs = keras.Input((4,))
    shared = layers.Dense(8, activation="relu")
    student = keras.Model(inputs, layers.Dense(3)(shared(inputs)))
    teacher = keras.Model(inputs, layers.Dense(3)(shared(inputs)))
    distiller = Distiller(student=student, teacher=teacher, terms=[keras.losses.MeanSquaredError()])
    distiller.compile(keras.optimizers.SGD(0.1))
    distiller.fit(x, batch_size=24, epochs=3, verbose=0)
    expected = np.mean((np.asarray(teacher(x)) - np.asarray(student(x))) ** 2)
    logs = distiller.fit(x, batch_size=24, verbose=0).history
    assert logs["mean_squared_error"][0] == pytest.approx(expected, rel=1e-5)


def test_a_teacher_trained_on_between_two_fits_teaches_anew(net, data, frozen, soft_targets):
    x, y = data
    teacher, student = net(width=32), net()
    run = frozen(Distiller(student=student, teacher=teacher), CROSS_ENTROPY)
    run(x, y)
    teacher.set_weights([2 * weight for weight in teacher.get_weights()])
    expected = soft_targets(teacher(x), student(x), 4.0).mean()
    assert run(x, y)["soft_targets"] == pytest.approx(expected, rel=1e-5)


def test_losses_and_random_states_of_the_teacher_do_not_leak(net, data, frozen):
    x, y = data
    teacher = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activity_regularizer="l2"),
            layers.Dropout(0.5),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )
    before = [np.asarray(variable) for variable in teacher.variables]
    distiller = Distiller(student=net(), teacher=teacher)
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    blend = 0.1 * logs["hard_loss"] + 0.9 * logs["soft_targets"]
    assert logs["loss"] == pytest.approx(blend, rel=1e-5)
    for a, b in zip(before, teacher.variables):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(np.asarray(teacher(x))).all()
    assert all(np.isfinite(float(loss)) for loss in teacher.losses)


def test_a_failed_step_leaves_the_student_usable(net, data):
    x, y = data
    distiller = Distiller(student=net(), teacher=net())
    distiller.compile("adam", loss=CROSS_ENTROPY)
    before = distiller.student.get_weights()
    with pytest.raises(ValueError, match="y must hold labels"):
        distiller.fit(x, verbose=0)
    for a, b in zip(before, distiller.student.get_weights()):
        np.testing.assert_array_equal(a, b)
    distiller.fit(x, y, verbose=0)


def test_a_built_layer_teaches(net, data, frozen, soft_targets):
    x, y = data
    student, layer = net(), layers.Dense(3, name="logits")
    with pytest.raises(TypeError, match=r"or a built layer.*'logits', a Dense that is not built"):
        Distiller(student=student, teacher=layer, teacher_head="logits")
    layer.build((None, 4))
    with pytest.raises(ValueError, match="teacher_head must be given"):
        Distiller(student=student, teacher=layer)
    with pytest.raises(TypeError, match="student must be a Keras model"):
        Distiller(student=layer, teacher=net())
    distiller = Distiller(student=student, teacher=layer, teacher_head="logits")
    assert distiller.teacher is layer
    assert (
        distiller._objective.teacher.described()
        == "logits, 15 parameters, neither trained nor saved"
    )
    before = layer.get_weights()
    run = frozen(distiller, CROSS_ENTROPY)
    for _ in range(2):
        expected = soft_targets(layer(x), student(x), 4.0).mean()
        assert run(x, y)["soft_targets"] == pytest.approx(expected, rel=1e-5)
        layer.set_weights([2 * weight for weight in layer.get_weights()])
    layer.set_weights(before)
    doubled = KerasModel(layer, head="logits", preprocess=lambda x: 2 * x)
    logs = frozen(Distiller(student=student, teacher=doubled), CROSS_ENTROPY)(x, y)
    expected = soft_targets(layer(2 * x), student(x), 4.0).mean()
    assert logs["soft_targets"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("endpoint", ["serve", "serving_default"])
def test_a_saved_model_teaches_as_a_layer(net, data, frozen, soft_targets, tmp_path, endpoint):
    x, _ = data
    teacher, student = net(width=16), net()
    teacher.export(tmp_path / "teacher", verbose=False)
    layer = keras.layers.TFSMLayer(tmp_path / "teacher", call_endpoint=endpoint)
    expected = soft_targets(teacher(x), student(x), 4.0).mean()
    distiller = Distiller(student=student, teacher=layer, teacher_head="logits")
    assert frozen(distiller)(x)["soft_targets"] == pytest.approx(expected, rel=1e-5)
    asked = KerasModel(layer, head="logits")
    soft = SoftLabels.write(None, teacher=asked, data=x, dtype="float32", verbose=0)
    assert soft.check(asked, x)
    np.testing.assert_allclose(soft.arrays()["output"], teacher(x), rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow
def test_a_layer_with_several_outputs_says_how_to_take_one(net, data, tmp_path):
    x, _ = data
    inputs = keras.Input((4,))
    outputs = {"a": layers.Dense(3)(inputs), "b": layers.Dense(2)(inputs)}
    keras.Model(inputs, outputs).export(tmp_path / "teacher", verbose=False)
    layer = keras.layers.TFSMLayer(tmp_path / "teacher")
    distiller = Distiller(student=net(), teacher=layer, teacher_head="logits")
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=r"must be one tensor.*keras.Model\(x, layer\(x\)\)"):
        distiller.fit(x, verbose=0)
    one = keras.Model(inputs, layer(inputs)["a"])
    distiller = Distiller(student=net(), teacher=one, teacher_head="logits")
    distiller.compile("sgd")
    distiller.fit(x, verbose=0)
