"""What may teach, and what is refused or reported by name."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.traps.formulas import ALPHA, frozen, hard, logs_of, net, soft


def check_blend(system, data, student, teacher, rel):
    x, y = data
    model = system.build(student, teacher)
    system.compile(model, frozen())
    t, s = (keras.ops.convert_to_numpy(keras.ops.cast(m(x), "float32")) for m in (teacher, student))
    expected = ALPHA * hard(y, s).mean() + (1 - ALPHA) * soft(t, s).mean()
    assert logs_of(model, x, y)["loss"] == pytest.approx(expected, rel=rel)


def test_12_precision_may_differ(system, data):
    student = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8), layers.Dense(3, dtype="mixed_float16")]
    )
    teacher = keras.Sequential([keras.Input((4,), dtype="float16"), layers.Dense(3)])
    check_blend(system, data, student, teacher, rel=1e-2)


def test_12_resolution_and_range_may_differ(system, data):
    x, y = data
    teacher, student = keras.Sequential([keras.Input((8,)), layers.Dense(3)]), net()
    widened = system.widened(teacher)
    t = keras.ops.convert_to_numpy(teacher(np.repeat(10 * x, 2, axis=-1)))
    s = student.predict(x, verbose=0)
    model = system.build(student, widened)
    system.compile(model, frozen())
    expected = ALPHA * hard(y, s).mean() + (1 - ALPHA) * soft(t, s).mean()
    assert logs_of(model, x, y)["loss"] == pytest.approx(expected, rel=1e-4)


def test_12_input_rank_may_differ(system, data):
    teacher = keras.Sequential([keras.Input((4, 1)), layers.Flatten(), layers.Dense(3)])
    check_blend(system, data, net(), teacher, rel=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["several", "saved_model", "tflite", "function", "stored"])
def test_13_the_teacher_may_be(system, data, tmp_path, kind):
    import tensorflow as tf

    x, y = data
    model, student = net(), net()
    t, s = model.predict(x, verbose=0), student.predict(x, verbose=0)
    given = {"several": [model, model], "function": lambda x: t[: len(x)], "stored": model}
    if kind == "saved_model":
        given[kind] = tmp_path / "teacher"
        model.export(given[kind], verbose=False)
    elif kind == "tflite":
        given[kind] = tmp_path / "teacher.tflite"
        spec = tf.TensorSpec((None, 4))
        answers = tf.function(lambda x: x @ tf.ones((4, 3))).get_concrete_function(spec)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([answers])
        given[kind].write_bytes(converter.convert())
        t = x @ np.ones((4, 3))
    teacher = system.teacher(kind, given[kind], x)
    distiller = system.build(student, teacher)
    system.compile(distiller, frozen())
    logs = distiller.fit(**system.batches(teacher, x, y), shuffle=False, verbose=0).history
    expected = ALPHA * hard(y, s).mean() + (1 - ALPHA) * soft(t, s).mean()
    assert logs["loss"][0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("wrong", ["classes", "structure"])
def test_22_mismatches_are_refused_at_construction(system, two_outputs, wrong):
    student, teacher = (net(), net(units=4)) if wrong == "classes" else (two_outputs(), net())
    with pytest.raises((ValueError, TypeError)):
        system.build(student, teacher)


def test_23_a_nan_of_the_teacher_alone_is_reported_with_its_batch(system, data):
    x, y = data

    class Breaking(layers.Layer):
        def call(self, inputs):
            return keras.ops.where(inputs == x[13], np.nan, inputs)

    teacher = keras.Sequential([keras.Input((4,)), Breaking(), layers.Dense(3)])
    model = system.build(net(), teacher)
    system.compile(model)
    with pytest.raises(ValueError, match=r"(?i)teacher.*nan.*batch 3"):
        model.fit(x, y, batch_size=6, shuffle=False, verbose=0)


@pytest.mark.parametrize("kind", ["several", "function"])
def test_23_whoever_gives_nan_is_named(system, data, kind):
    x, y = data
    if kind == "function" and keras.backend.backend() != "tensorflow":
        pytest.skip("functions are asked from TensorFlow's graphs")

    def broken(x):
        return np.where(x[:, :3] == data[0][13, :3], np.nan, x[:, :3])

    class Broken(layers.Layer):
        def call(self, inputs):
            return keras.ops.where(inputs == x[13], np.nan, inputs)

    several = [net(), keras.Sequential([keras.Input((4,)), Broken(), layers.Dense(3)])]
    teacher = several if kind == "several" else system.teacher(kind, broken, x)
    model = system.build(net(), teacher)
    system.compile(model)
    with pytest.raises(ValueError, match=r"(?i)teacher.*nan.*batch 3"):
        model.fit(x, y, batch_size=6, shuffle=False, verbose=0)
