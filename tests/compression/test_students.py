"""Which students can be compressed."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_kd import compression


def dense():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu", name="hidden"), layers.Dense(3, name="logits")]
    )


def test_bad_students():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    subclassed = Subclassed()
    subclassed(np.ones((1, 4), "float32"))
    with pytest.raises(TypeError, match="student must be a Keras model"):
        compression.prune("model", 0.5)
    with pytest.raises(ValueError, match="student must be built"):
        compression.prune(keras.Sequential([layers.Dense(3)]), 0.5)
    for method in (lambda x: compression.prune(x, 0.5), compression.finish, compression.report):
        with pytest.raises(ValueError, match="student must show its graph"):
            method(subclassed)
    with pytest.raises(ValueError, match="must come once, in the order prune, cluster"):
        compression.prune(compression.prune(dense(), 0.5), 0.5)
    with pytest.raises(ValueError, match="student must be compressed"):
        compression.finish(dense())
    with pytest.raises(ValueError, match="Train to the end of the schedule"):
        compression.finish(compression.prune(dense(), 0.5))


def subclass(**members):
    inputs = keras.Input((4,))
    return type("Net", (keras.Model,), members)(inputs, layers.Dense(3)(inputs))


@pytest.mark.parametrize("name", ["train_step", "compute_loss", "test_step"])
@pytest.mark.parametrize("method", ["prune", "cluster", "quantize_aware"])
def test_a_training_step_of_its_own_is_refused(name, method):
    student = subclass(**{name: lambda self, *args, **kwargs: {}})
    with pytest.raises(ValueError, match=f"would lose.*class Net has its own {name}.*Pass keras"):
        getattr(compression, method)(student)


def test_other_classes():
    assert type(compression.prune(subclass(), 0.5)) is type(keras.Model(*2 * [keras.Input((4,))]))
    student = subclass(fit=lambda self, *args, **kwargs: None)
    with pytest.warns(UserWarning, match="has Net.fit no longer"):
        compression.cluster(student)


def relu(x):
    return ops.maximum(x, 0.2 * x)


def sigmoid(x):
    return 4 * ops.sigmoid(x)


def silu(x):
    return 3 * ops.silu(x)


@pytest.mark.parametrize("function", [relu, sigmoid, silu, lambda x: 2 * ops.tanh(x)])
@pytest.mark.parametrize("within", [True, False], ids=["within", "after"])
def test_functions_of_the_user_stay(rounding, function, within):
    """Keras' own functions of the same names do not take their places."""
    after = [] if within else [layers.Activation(function)]
    hidden = layers.Dense(8, activation=function if within else None, name="hidden")
    model = keras.Sequential([keras.Input((4,)), hidden, *after, layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    expected, tolerance = ops.convert_to_numpy(model(x)), 0.05 * np.std(model(x))
    pruned = compression.prune(model, 0.0)
    np.testing.assert_allclose(pruned(x), expected, atol=1e-6)
    np.testing.assert_allclose(compression.finish(pruned)(x), expected, atol=1e-6)
    rounded = compression.quantize_aware(model)
    rounded(x, training=True)
    error = ops.convert_to_numpy(rounded(x)) - expected
    assert np.sqrt(np.mean(error**2)) < tolerance
    error = ops.convert_to_numpy(compression.finish(rounded)(x)) - expected
    assert np.sqrt(np.mean(error**2)) < tolerance
