"""What every loss promises; a new loss enrols by being exported."""

import doctest
import inspect

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import losses
from keras_kd.losses import DistillationLoss, FeatureLoss

LOSSES = [
    loss
    for _, loss in inspect.getmembers(keras_kd.losses, inspect.isclass)
    if issubclass(loss, DistillationLoss) and loss not in (DistillationLoss, FeatureLoss)
]
ON_LOGITS = [loss for loss in LOSSES if not issubclass(loss, FeatureLoss)]
BY_POSITION = [
    *(loss for loss in ON_LOGITS if not loss.batch_statistic),
    losses.Hint,
    losses.CosineHint,
    losses.Variational,
]
SEPARABLE = [loss for loss in LOSSES if not loss.batch_statistic]
every_loss = pytest.mark.parametrize("loss_class", LOSSES)
every_loss_on_logits = pytest.mark.parametrize("loss_class", ON_LOGITS)
every_separable_loss = pytest.mark.parametrize("loss_class", SEPARABLE)

# What a loss takes other than two rows of numbers per example, (6, 5): shapes of both signals.
SHAPES = {
    losses.AttentionTransfer: ((6, 4, 4, 5), (6, 4, 4, 3)),
    losses.ChannelWise: ((6, 4, 3, 5),) * 2,
    losses.HierarchicalContext: ((6, 5, 7, 3),) * 2,
    losses.ProbabilisticTransfer: ((6, 7), (6, 5)),
    losses.Relational: ((6, 7), (6, 5)),
    losses.SelfRelation: ((6, 4, 8), (6, 4, 4)),
    losses.SimilarityPreserving: ((6, 2, 3, 7), (6, 5)),
}
SCALE = np.float32([-1.0, 0.5, 0.0, 2.0, 1.0])
ARGUMENTS = {losses.SelfRelation: {"relation_heads": 2}}


class WithScale(losses.Variational):
    """The one loss whose student's signal is a pair, with the second of it given."""

    def call(self, y_true, y_pred):
        return super().call(y_true, (y_pred, SCALE))


def make(loss_class, **kwargs):
    """Returns a loss with its own defaults that compares two tensors."""
    if loss_class is losses.Variational:
        loss_class = WithScale
    return loss_class(**{**ARGUMENTS.get(loss_class, {}), **kwargs})


def signals(loss_class):
    """Returns the teacher's and the student's signal, six examples each."""
    rng = np.random.default_rng(0)
    shapes = SHAPES.get(loss_class, ((6, 5),) * 2)
    return [(rng.normal(size=shape) * 3).astype("float32") for shape in shapes]


def parameters(loss_class):
    """Returns the loss's own arguments with their defaults."""
    signature = inspect.signature(loss_class).parameters
    return {
        name: parameter.default
        for name, parameter in signature.items()
        if name not in ("name", "reduction")
    }


NUMBERS = [
    (loss, name)
    for loss in LOSSES
    for name, default in parameters(loss).items()
    if isinstance(default, float)
]


@pytest.fixture
def pair(request):
    return signals(request.getfixturevalue("loss_class"))


@pytest.fixture
def logits(request):
    """Returns the teacher's and the student's logits in one array, (2, 6, 5)."""
    return np.stack(signals(request.getfixturevalue("loss_class")))


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
    with pytest.raises(ValueError, match="must be the teacher's and the student's logits"):
        loss_class().call(logits[0][:1], logits[1])
    with pytest.raises(ValueError, match="must be the teacher's and the student's logits"):
        loss_class().call(np.zeros(6), logits[1])
    with pytest.raises(ValueError, match="must be the teacher's and the student's logits"):
        loss_class().call(logits[0][0], logits[1][0])


@every_loss_on_logits
def test_classes_must_be_enough(loss_class, logits):
    enough = loss_class.min_classes
    loss_class().call(*logits[..., :enough])
    loss_class().check_classes(None)
    if enough > 1:
        with pytest.raises(ValueError, match=f"must compare at least {enough} classes"):
            loss_class().call(*logits[..., : enough - 1])


# Features


FEATURES = [loss for loss in LOSSES if issubclass(loss, FeatureLoss)]
RELATIONS = [loss for loss in FEATURES if loss.needs_pairs]
every_feature_loss = pytest.mark.parametrize("loss_class", FEATURES)


@every_feature_loss
def test_features_give_one_value_per_example_or_position(loss_class, pair):
    by_position = loss_class in BY_POSITION
    for more in ((), (3,)) if by_position else ((),):
        both = [np.stack([signal] * 3, axis=1) if more else signal for signal in pair]
        assert make(loss_class).call(*both).shape == (6, *more)


@every_feature_loss
def test_features_of_unknown_sizes(loss_class):
    if loss_class is losses.HierarchicalContext:
        pytest.skip("pools to sizes that must be known")
    shapes = [signal.shape for signal in signals(loss_class)]
    known = -1 if loss_class not in RELATIONS else -2
    inputs = [
        keras.Input([*(None for _ in shape[1:known]), *shape[1:][known:]]) for shape in shapes
    ]
    layer = keras.layers.Lambda(lambda both: make(loss_class).call(*both))
    assert layer(inputs).shape[0] is None


@every_feature_loss
def test_features_are_never_broadcast(loss_class, pair):
    teacher, student = pair
    wrong = [(teacher[:1], student), (np.zeros(6), student)]
    if loss_class in BY_POSITION or len(set(SHAPES.get(loss_class, ()))) == 1:
        wrong.append((teacher[..., :1], student))
        wrong.append((np.stack([teacher] * 2, axis=1), student))
    for features in wrong:
        with pytest.raises(ValueError, match="must compare the teacher's and the student's"):
            make(loss_class).call(*features)


@every_feature_loss
def test_an_example_of_zeros_has_a_finite_gradient(loss_class, pair, value_and_gradient):
    loss, (teacher, student) = make(loss_class), pair
    student[0] = 0.0
    for zeros in (np.copy(teacher), teacher):
        value, gradient = value_and_gradient(lambda s, t=zeros: loss(t, s), student)
        assert np.isfinite(value)
        assert np.abs(gradient).max() < 1e3
        teacher[0] = 0.0


@pytest.mark.parametrize("loss_class", RELATIONS)
def test_an_example_alone_in_its_batch_teaches_nothing(loss_class, pair, value_and_gradient):
    teacher, student = (signal[:1] for signal in pair)
    value, gradient = value_and_gradient(lambda s: make(loss_class)(teacher, s), student)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("loss_class", [loss for loss in FEATURES if "mask" in loss.needs])
def test_padding_changes_nothing(loss_class, value_and_gradient):
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 4, 5, 8)).astype("float32")
    mask = np.arange(5) < np.array([5, 3, 2, 4])[:, None]
    loss, results = make(loss_class), []
    for padding in (0.0, 7.0):
        both = [np.where(mask[..., None], s, np.float32(padding)) for s in (teacher, student)]
        answer = {"teacher": both[0], "mask": mask}
        results.append(value_and_gradient(lambda s, a=answer: loss(a, s), both[1]))
    (value, gradient), (other, slope) = results
    np.testing.assert_allclose(value, other, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-7)
    assert (slope[~mask] == 0).all()
    assert np.abs(slope[mask]).max() > 0


@pytest.mark.parametrize(
    "loss_class", [losses.AttentionTransfer, losses.ChannelWise, losses.SelfRelation]
)
def test_a_padded_example_equals_a_short_one(loss_class):
    teacher, student = np.random.default_rng(0).normal(size=(2, 2, 5, 8)).astype("float32")
    mask = np.arange(5) < np.array([[3], [3]])
    short = make(loss_class).call(teacher[:, :3], student[:, :3])
    padded = make(loss_class).call({"teacher": teacher, "mask": mask}, student)
    np.testing.assert_allclose(padded, short, rtol=1e-5)
