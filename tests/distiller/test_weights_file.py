"""A Distiller's weights, which its student loads as its own."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller, Term
from keras_kd.losses import Hint, SoftTargets

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize("nested", [False, True])
def test_weights_files_serve_distiller_and_student(net, data, tmp_path, nested):
    def student(seed):
        keras.utils.set_random_seed(seed)
        if not nested:
            return net()
        inner = net()
        return keras.Sequential([keras.Input(inner.input_shape[1:]), inner])

    def distiller(seed):
        keras.utils.set_random_seed(seed)
        terms = (
            [SoftTargets(), Term(Hint(), student="hidden", teacher="hidden", projector="auto")]
            if not nested
            else None
        )
        made = Distiller(student=student(seed), teacher=net(width=32), terms=terms)
        made.compile("adam", loss=CROSS_ENTROPY)
        return made

    first, path = distiller(1), tmp_path / "best.weights.h5"
    kept = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    first.fit(*data, verbose=0, callbacks=[kept])
    alone = student(2)
    alone.load_weights(path)
    second = distiller(3)
    second.optimizer.build(second.trainable_variables)
    second.load_weights(path)
    for ours, theirs in [(first.student, alone), (first, second)]:
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert int(second.optimizer.iterations) == int(first.optimizer.iterations) > 0
    third = distiller(4)
    alone.save_weights(tmp_path / "student.weights.h5")
    third.load_weights(tmp_path / "student.weights.h5")
    for a, b in zip(first.student.get_weights(), third.student.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_files_of_before_load(net, data, tmp_path):
    first, second = (Distiller(student=net(), teacher=net(width=32)) for _ in range(2))
    first.student.set_weights([weight + 1.0 for weight in first.student.get_weights()])
    keras.Model.save_weights(first, tmp_path / "old.weights.h5")
    second.load_weights(tmp_path / "old.weights.h5")
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
