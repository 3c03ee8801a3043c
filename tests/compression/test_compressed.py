"""Compressed students are saved and trained on."""

import keras
import numpy as np
from keras import layers

from keras_kd import compression

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dense():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu", name="hidden"), layers.Dense(3, name="logits")]
    )


def kernels(model):
    names = ("kernel", "depthwise_kernel", "pointwise_kernel")
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights if w.name in names}


def test_saving_and_going_on(data, tmp_path):
    x, y = data
    student = compression.prune(dense(), sparsity=0.8, steps=6)
    student.compile("adam", CROSS_ENTROPY)
    student.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    student.save(tmp_path / "student.keras")
    loaded = keras.models.load_model(tmp_path / "student.keras")
    for model in (student, loaded):
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(student.get_weights(), loaded.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)
    compression.finish(loaded)
