"""Compressed students are saved and trained on."""

import keras
import numpy as np
import pytest
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


def frozen(how):
    model = dense()
    if how == "layer":
        model.layers[0].trainable = False
    if how == "nested":
        inner = keras.Sequential(
            [keras.Input((4,)), layers.Dense(8, "relu", name="hidden")], name="inner"
        )
        inner.trainable = False
        model = keras.Sequential([keras.Input((4,)), inner, layers.Dense(3, name="logits")])
    return model


@pytest.mark.parametrize("how", ["layer", "nested", "afterwards", "loaded", "pruned"])
def test_frozen_layers_stay_as_they_are_compressed(data, how, tmp_path):
    x, y = data
    student = frozen("layer" if how in ("loaded", "pruned") else how)
    if how == "pruned":
        student = compression.prune(student, 0.5)
        student(x, training=True)
    student = compression.cluster(student, clusters=4)
    if how == "afterwards":
        student.get_layer("hidden").trainable = False
    if how == "loaded":
        student.save(tmp_path / "student.keras")
        student = keras.models.load_model(tmp_path / "student.keras")
    before = kernels(compression.finish(student))
    student.compile(keras.optimizers.Adam(0.1, weight_decay=0.1), CROSS_ENTROPY)
    student.fit(x, y, verbose=0)
    after = kernels(compression.finish(student))
    for path, kernel in before.items():
        assert np.array_equal(kernel, after[path]) == ("hidden" in path), path


def test_thawed_layers_train_their_centroids_and_no_masks(data):
    student = compression.prune(frozen("layer"), 0.5)
    student(data[0], training=True)
    student = compression.cluster(student, clusters=4)
    assert [w.path.split("/")[0] for w in student.trainable_weights].count("hidden") == 0
    assert not student.get_layer("hidden").trainable
    student.get_layer("hidden").trainable = True
    mask, centroids = student.get_layer("hidden").transforms
    assert mask.trainable_weights == []
    assert any(each is centroids.centroids for each in student.trainable_weights)
