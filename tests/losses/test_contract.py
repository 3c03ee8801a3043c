"""What every loss promises; a new loss enrols by being exported."""

import doctest

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import losses
from keras_kd.losses import FeatureLoss
from tests.losses.every_loss import (
    ARGUMENTS,
    BY_POSITION,
    LOSSES,
    NUMBERS,
    SCALE,
    every_loss,
    every_loss_on_logits,
    every_separable_loss,
    make,
    parameters,
    signals,
)


@every_loss
def test_round_trip(loss_class, pair):
    others = ARGUMENTS.get(loss_class) or {
        name: not default if isinstance(default, bool) else 0.75 * default
        for name, default in parameters(loss_class).items()
    }
    if loss_class is losses.Variational:
        pair[1] = (pair[1], SCALE)
    loss = loss_class(**others, name="mine", reduction="sum")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(copy) is loss_class
    assert copy.get_config() == loss.get_config() == {**others, "name": "mine", "reduction": "sum"}
    np.testing.assert_array_equal(copy(*pair), loss(*pair))


@every_loss
def test_registered_under_the_packages_name(loss_class):
    assert keras.saving.get_registered_name(loss_class) == f"keras_kd>{loss_class.__name__}"


@every_loss
def test_says_what_it_needs(loss_class):
    assert loss_class.default_weight > 0
    assert loss_class.needs <= {"labels", "mask"}
    assert loss_class.min_classes >= 1


@every_loss_on_logits
def test_says_whether_the_logits_mean_matters(loss_class, logits):
    loss = loss_class()
    shifted = loss.call(logits[0] + 1.5, logits[1] - 0.5)
    same = np.allclose(loss.call(*logits), shifted, rtol=1e-4, atol=1e-5)
    assert same == loss_class.shift_invariant


@every_loss
def test_the_docstrings_example_runs(loss_class):
    names = {"keras": keras, "keras_kd": keras_kd}
    tests = doctest.DocTestFinder(recurse=False).find(loss_class, loss_class.__name__, globs=names)
    assert [doctest.DocTestRunner().run(test).failed for test in tests] == [0]


@every_loss_on_logits
def test_one_value_per_example_or_position(loss_class, logits):
    assert loss_class().call(*logits).shape == (6,)
    assert loss_class().call(*logits.reshape(2, 2, 3, 5)).shape == (2, 3)


@every_loss_on_logits
@pytest.mark.parametrize("shape", [(5,), (None, 5), (None, None, 5)])
def test_sizes_may_be_unknown(loss_class, shape):
    layer = keras.layers.Lambda(lambda both: loss_class().call(*both))
    assert layer([keras.Input(shape), keras.Input(shape)]).shape == (None, *shape[:-1])


@every_separable_loss
def test_other_examples_do_not_matter(loss_class, pair):
    loss = make(loss_class)
    alone = [float(loss.call(teacher[None], student[None])[0]) for teacher, student in zip(*pair)]
    np.testing.assert_allclose(loss.call(*pair), alone, rtol=1e-5)


@pytest.mark.parametrize("loss_class", [loss for loss in LOSSES if loss.batch_statistic])
def test_a_batch_statistic_depends_on_the_others(loss_class, pair):
    values, fewer = make(loss_class).call(*pair), make(loss_class).call(*(s[:3] for s in pair))
    assert np.abs(np.asarray(values)[:3] - np.asarray(fewer)).min() > 1e-4


@every_loss
def test_gradient_equals_finite_differences(loss_class, pair, value_and_gradient, double_precision):
    loss = make(loss_class)
    teacher, student = (signal.astype("float64") for signal in pair)
    direction = np.random.default_rng(1).normal(size=student.shape)
    # But for TensorFlow, Keras takes every mean in float32.
    step, rtol = (1e-6, 1e-6) if keras.backend.backend() == "tensorflow" else (1e-3, 5e-3)
    with double_precision():
        teacher = keras.ops.convert_to_tensor(teacher, "float64")
        (_, gradient), (ahead, _), (behind, _) = (
            value_and_gradient(lambda s: keras.ops.sum(loss.call(teacher, s)), at)
            for at in (student, student + step * direction, student - step * direction)
        )
    assert gradient.dtype == "float64"
    np.testing.assert_allclose(
        (gradient * direction).sum(), (ahead - behind) / (2 * step), rtol=rtol
    )


@every_loss
@pytest.mark.parametrize("jit", [False, True], ids=["graph", "jit"])
def test_compiled_equals_eager(loss_class, pair, compiled, value_and_gradient, jit):
    loss = make(loss_class)
    teacher, student = map(keras.ops.convert_to_tensor, pair)
    value, gradient = value_and_gradient(lambda s: loss(teacher, s), student)
    value_compiled, gradient_compiled = value_and_gradient(
        compiled(lambda s: loss(teacher, s), jit=jit), student
    )
    np.testing.assert_allclose(value_compiled, value, rtol=1e-5)
    np.testing.assert_allclose(gradient_compiled, gradient, rtol=1e-4, atol=1e-5)


@every_loss
@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 1e4), ("float16", 1e3), ("bfloat16", 1e3), ("float16", 6e4)]
)
def test_finite_for_large_numbers(loss_class, value_and_gradient, dtype, size):
    loss = make(loss_class)
    if issubclass(loss_class, FeatureLoss):
        teacher, student = (
            keras.ops.cast(np.sign(signal) * np.float32(min(size, 1e4)), dtype)
            for signal in signals(loss_class)
        )
    else:
        teacher = keras.ops.cast([[size, -size, 0.0, 1.0], [0.0, size, -size, 1.0]], dtype)
        student = keras.ops.cast([[-size, size, 0.0, 1.0], [0.0, size, size, 1.0]], dtype)
    values = loss.call(teacher, student)
    assert keras.backend.standardize_dtype(values.dtype) == "float32"
    assert np.isfinite(values).all()
    _, gradient = value_and_gradient(lambda s: keras.ops.sum(loss.call(teacher, s)), student)
    assert np.isfinite(gradient.astype("float32")).all()


@every_loss
def test_finite_where_all_numbers_are_equal(loss_class, pair, value_and_gradient):
    equal, loss = [np.full_like(signal, 0.3) for signal in pair], make(loss_class)
    for teacher, student in [(pair[0], equal[1]), (equal[0], pair[1]), equal]:
        value, gradient = value_and_gradient(lambda s, t=teacher: loss(t, s), student)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(loss_class, pair, dtype):
    halves = [keras.ops.cast(30 * logits, dtype) for logits in pair]
    values = make(loss_class).call(*halves)
    expected = make(loss_class).call(*(keras.ops.cast(half, "float32") for half in halves))
    np.testing.assert_array_equal(values, expected)


@every_loss
def test_a_teacher_of_another_dtype(loss_class, pair):
    values = make(loss_class).call(pair[0].astype("float64"), keras.ops.cast(pair[1], "float32"))
    np.testing.assert_allclose(values, make(loss_class).call(*pair), rtol=1e-6)


@every_loss
@pytest.mark.parametrize("floatx", ["float16", "bfloat16"])
def test_half_precision_as_keras_floatx(loss_class, pair, floatx):
    expected, before = make(loss_class)(*pair), keras.config.floatx()
    keras.config.set_floatx(floatx)
    try:
        np.testing.assert_allclose(make(loss_class)(*pair), expected, rtol=1e-6)
    finally:
        keras.config.set_floatx(before)


@every_separable_loss
def test_zero_weight_removes_an_example(loss_class, pair):
    loss = make(loss_class, reduction="sum")
    kept = loss(pair[0][:4], pair[1][:4])
    weighted = loss(*pair, sample_weight=np.float32([1, 1, 1, 1, 0, 0]))
    np.testing.assert_allclose(weighted, kept, rtol=1e-6)


@pytest.mark.parametrize("loss_class", BY_POSITION)
def test_zero_weight_removes_a_position(loss_class, logits, value_and_gradient):
    """Ignored pixels of maps `(batch, height, width, classes)`, and padding."""
    loss = make(loss_class, reduction="sum")
    teacher, student = logits.reshape(2, 1, 2, 3, 5)
    weight = np.float32([[[1, 0, 1], [0, 0, 1]]])
    kept = weight.astype("bool")
    value, gradient = value_and_gradient(lambda s: loss(teacher, s, weight), student)
    np.testing.assert_allclose(value, loss(teacher[kept], student[kept]), rtol=1e-6)
    assert (gradient[~kept] == 0).all()


@pytest.mark.tensorflow
@every_separable_loss
def test_two_replicas_equal_one(loss_class, pair, two_replicas):
    import tensorflow as tf

    loss = make(loss_class)
    halves = [
        two_replicas.experimental_distribute_values_from_function(
            lambda context, logits=logits: tf.constant(
                np.split(logits, 2)[context.replica_id_in_sync_group]
            )
        )
        for logits in pair
    ]
    shares = two_replicas.run(loss, halves)
    assert two_replicas.num_replicas_in_sync == 2
    np.testing.assert_allclose(
        two_replicas.reduce("SUM", shares, axis=None), loss(*pair), rtol=1e-6
    )


@pytest.mark.parametrize("loss_class", [loss for loss, name in NUMBERS if name == "temperature"])
def test_the_temperature_may_be_a_variable(loss_class, pair):
    loss, expected = make(loss_class), make(loss_class, temperature=2.5)(*pair)
    loss.temperature = keras.Variable(2.5, trainable=False)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss(*pair)), expected, rtol=1e-6)
    assert loss.get_config()["temperature"] == 2.5


@pytest.mark.parametrize(("loss_class", "name"), NUMBERS)
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_numbers_must_be_in_range(loss_class, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number"):
        loss_class(**{name: value})


@pytest.mark.parametrize(("loss_class", "name"), NUMBERS)
@pytest.mark.parametrize("value", ["4", None, True])
def test_numbers_must_be_numbers(loss_class, name, value):
    with pytest.raises(TypeError, match=f"{name} must be a finite number"):
        loss_class(**{name: value})


@pytest.mark.parametrize(
    ("loss_class", "name"), [pair for pair in NUMBERS if pair[1] in ("temperature", "exponent")]
)
def test_divisors_must_not_be_zero(loss_class, name):
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0"):
        loss_class(**{name: 0})


@every_loss_on_logits
def test_logits_are_never_broadcast(loss_class, logits):
    with pytest.raises(ValueError, match="must be logits of one shape"):
        loss_class().call(logits[0][:1], logits[1])
    with pytest.raises(ValueError, match="must be logits of one shape"):
        loss_class().call(np.zeros(6), logits[1])
    with pytest.raises(ValueError, match="must be logits of one shape"):
        loss_class().call(logits[0][0], logits[1][0])


@every_loss_on_logits
def test_classes_must_be_enough(loss_class, logits):
    enough = loss_class.min_classes
    loss_class().call(*logits[..., :enough])
    loss_class().check_classes(None)
    if enough > 1:
        with pytest.raises(ValueError, match=f"must compare at least {enough} classes"):
            loss_class().call(*logits[..., : enough - 1])
