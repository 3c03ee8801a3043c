"""Every test starts from the same random state, and runs on the backend that Keras was given."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import keras
import numpy as np
import pytest

# The same examples in every run.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")

BACKEND = keras.backend.backend()
# Files for phones are made by TensorFlow.
_FILES = ["docs", "export", "examples", "report", "runtimes"]
collect_ignore = [] if BACKEND == "tensorflow" else _FILES

if BACKEND == "tensorflow":
    import tensorflow as tf

    pytest_plugins = ["tests.exported_files"]
    # Two devices to share a batch between, before TensorFlow makes one.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
elif BACKEND == "jax":
    import jax
else:
    import torch


def pytest_collection_modifyitems(items):
    """Skips what needs a package that is not there."""
    if BACKEND != "tensorflow":
        reason = pytest.mark.skip(reason="needs Keras on TensorFlow")
        for item in items:
            if item.get_closest_marker("tensorflow"):
                item.add_marker(reason)


@pytest.fixture(autouse=True)
def fixed_seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def value_and_gradient():
    """Returns `f(function, x)`: the value of a scalar function at `x`, and its gradient there."""

    def with_tensorflow(function, x):
        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return value.numpy(), tape.gradient(value, x).numpy()

    def with_jax(function, x):
        return tuple(map(np.asarray, jax.value_and_grad(function)(jax.numpy.asarray(x))))

    def with_torch(function, x):
        x = keras.ops.convert_to_tensor(x).clone().requires_grad_()
        value = function(x)
        (gradient,) = torch.autograd.grad(value, x)
        return tuple(map(keras.ops.convert_to_numpy, (value, gradient)))

    return {"tensorflow": with_tensorflow, "jax": with_jax, "torch": with_torch}[BACKEND]


@pytest.fixture(scope="session")
def compiled():
    """Returns `f(function)`: the function compiled by XLA (and on TensorFlow, `jit=False`: not).

    On PyTorch, where Keras compiles nothing by itself, the function itself.
    """

    def with_tensorflow(function, jit=True):
        return tf.function(function, jit_compile=jit)

    def with_jax(function, jit=True):
        return jax.jit(function) if jit else function

    def with_torch(function, jit=True):
        return function

    return {"tensorflow": with_tensorflow, "jax": with_jax, "torch": with_torch}[BACKEND]


@pytest.fixture(scope="session")
def two_replicas():
    """Returns a strategy on two devices, one for all tests: a process holds no second one well."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(tf.config.list_logical_devices("CPU"))


@pytest.fixture
def net():
    """Builds a small classifier: `net(units=3, activation=None, width=8)`."""

    def build(units=3, activation=None, width=8, **kwargs):
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(width, activation="relu", name="hidden"),
                keras.layers.Dense(units, activation=activation, **kwargs),
            ]
        )

    return build


@pytest.fixture
def data():
    """Returns 24 inputs of 4 features and labels of 3 classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 4)).astype("float32"), rng.integers(0, 3, 24)
