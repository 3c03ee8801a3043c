"""What counts as free of products."""

import keras

from keras_kd.report.free_operations import FREE_LAYERS, FREE_OPERATIONS


def test_nothing_that_multiplies_tensors_is_among_them():
    products = "Dense Conv2D Attention AdditiveAttention Dot Lambda MelSpectrogram STFTSpectrogram"
    assert not FREE_LAYERS & set(products.split())
    assert not FREE_OPERATIONS & {"Matmul", "Dot", "Einsum", "Tensordot", "Inner", "Vdot", "Conv"}
    known = [getattr(keras.layers, name) for name in FREE_LAYERS if hasattr(keras.layers, name)]
    assert len(known) > 60
    assert all(issubclass(each, keras.layers.Layer) for each in known)
