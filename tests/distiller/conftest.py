"""Independent formulas in float64, and a training that changes no weight."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller


def _log_softmax(z):
    z = np.asarray(z, "float64")
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


@pytest.fixture(scope="session")
def cross_entropy():
    """Returns `f(labels, logits)`: the cross-entropy of each example or position."""

    def values(y, z):
        return -np.take_along_axis(_log_softmax(z), np.asarray(y)[..., None], -1)[..., 0]

    return values


@pytest.fixture(scope="session")
def soft_targets():
    """Returns `f(teacher, student, temperature)`: Hinton's loss of each example or position."""

    def values(t, s, temperature):
        log_p, log_q = (_log_softmax(np.asarray(z, "float64") / temperature) for z in (t, s))
        return temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(-1)

    return values


@pytest.fixture(scope="session")
def frozen():
    """Returns `f(distiller, *compile arguments)`, and that `fit(x, y)` on one batch -> the logs.

    The plain form has alpha 0.1 and temperature 4 unless told otherwise.
    """

    def compiled(distiller, *args, **kwargs):
        numbers = {"alpha": 0.1, "temperature": 4.0} if distiller.is_plain else {}
        distiller.compile(keras.optimizers.SGD(0.0), *args, **(numbers | kwargs))

        def fit(x, y=None, **given):
            size = len(keras.tree.flatten(x)[0])
            history = distiller.fit(x, y, batch_size=size, verbose=0, **given).history
            return {name: values[0] for name, values in history.items()}

        return fit

    return compiled


@pytest.fixture
def logs_of(net):
    """Returns `f(x, y, **compile arguments)`: the logs of a batch that changes no weight."""

    def run(x, y, sample_weight=None, model=net, **compiled):
        keras.utils.set_random_seed(2)
        distiller = Distiller(student=model(), teacher=model())
        distiller.compile(
            keras.optimizers.SGD(0.0), **({"alpha": 0.1, "temperature": 4.0} | compiled)
        )
        fit = {"batch_size": len(x), "sample_weight": sample_weight, "verbose": 0}
        trained = {k: v[0] for k, v in distiller.fit(x, y, **fit).history.items()}
        fit["return_dict"] = True
        return trained, distiller.evaluate(x, y, **fit)

    return run
