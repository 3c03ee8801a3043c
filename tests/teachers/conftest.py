"""What teachers outside of Keras have in common: the same answers, the same training."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller, SoftLabels


@pytest.fixture
def taught(net, data):
    """Returns `f(teacher, units=3)`: the student's loss and weights after an epoch of its answers.

    Online, and from stored ones.
    """

    def train(teacher, units=3, **options):
        x, results = data[0], []
        soft = SoftLabels.write(None, teacher=teacher, data=x, dtype="float32", verbose=0)
        rows = soft.dataset(x, batch_size=8, shuffle=False)
        for who, fitted in (
            (teacher, {"x": x, "batch_size": 8, "shuffle": False}),
            (soft, {"x": rows}),
        ):
            keras.utils.set_random_seed(0)
            distiller = Distiller(student=net(units), teacher=who)
            distiller.compile(keras.optimizers.SGD(0.1), **options)
            history = distiller.fit(**fitted, verbose=0).history
            results.append([history["loss"][0], *distiller.student.get_weights()])
        for online, stored in zip(*results):
            np.testing.assert_allclose(online, stored, rtol=1e-4, atol=1e-5)
        assert np.isfinite(results[0][0])
        return results[0]

    return train
