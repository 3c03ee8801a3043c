"""What tells functions apart that share a name."""

import functools

import keras
import numpy as np
import pytest

from keras_kd.teachers.function_hash import function_hash

SCALE = 255.0


def made(kind):
    """Returns two functions of one name that do the same, and one that does something else."""

    def of_code(plus):
        return (lambda x: x + 1.0) if plus else (lambda x: x - 1.0)

    def of_closure(value):
        def scaled(x):
            return x / value

        return scaled

    def of_default(value):
        def scaled(x, by=value):
            return x / by

        return scaled

    def partial(value):
        return functools.partial(np.divide, value)

    class Scaled:
        def __init__(self, value):
            self.value = value

        def __call__(self, x):
            return x / self.value

    def layer(value):
        return keras.layers.Rescaling(float(np.mean(value)), name="scaled")

    def weights(value):
        dense = keras.layers.Dense(1, kernel_initializer="ones", name="dense")
        dense.build((None, 2))
        dense.kernel.assign(dense.kernel * float(np.mean(value)))
        return lambda x: dense(x)

    def nested(value):
        inner = of_closure(value)
        return lambda x: [inner(each) for each in x]

    makers = {f.__name__: f for f in (of_code, of_closure, of_default, partial, Scaled, layer)}
    maker = (makers | {"weights": weights, "nested": nested})[kind]
    one, other = (True, False) if kind == "of_code" else (np.array([2.0]), np.array([3.0]))
    return maker(one), maker(one), maker(other)


KINDS = ["of_code", "of_closure", "of_default", "partial", "Scaled", "layer", "weights", "nested"]


@pytest.mark.parametrize("kind", KINDS)
def test_equal_hashes_mean_equal_functions(kind):
    function, same, other = map(function_hash, made(kind))
    assert function == same
    assert function != other


def test_what_a_function_takes_from_its_module(monkeypatch):
    def scaled(x):
        return [each / SCALE for each in x]

    before = function_hash(scaled)
    assert function_hash(scaled) == before
    monkeypatch.setitem(globals(), "SCALE", 127.5)
    assert function_hash(scaled) != before


def test_an_estimator_that_preprocesses():
    scalers = pytest.importorskip("sklearn.preprocessing")
    first, second = (scalers.StandardScaler().fit(np.eye(3) * n) for n in (1, 2))
    assert function_hash(first.transform) != function_hash(second.transform)


def test_the_order_of_a_set_does_not_matter():
    def known(names):
        return lambda x: [each in names for each in x]

    one, other = {0, 8}, {8, 0}
    assert [*one] != [*other]
    assert function_hash(known(one)) == function_hash(known(other))
    assert function_hash(known(one)) != function_hash(known({0, 9}))


def test_what_refers_to_itself_ends():
    loop = []
    loop.append(loop)

    def looped(x):
        return x, loop, looped

    assert function_hash(looped) == function_hash(looped)


def test_arrays_of_variables_do_not_stand_for_each_other():
    """What is read of one variable must not be freed: the next one's array would get its id."""

    def name(values):
        variables = [keras.Variable(np.full(4, value, "float32")) for value in values]
        return function_hash(lambda x: [x - each for each in variables])

    names = {name((0, 1, 2, last)) for last in range(3, 9)}
    assert len(names) == 6
