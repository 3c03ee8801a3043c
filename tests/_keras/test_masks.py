"""Each private name of Keras still does what we take it for."""

import keras
import numpy as np

from keras_kd import _keras


def test_masks_stay_with_the_copy():
    values = keras.ops.ones((2, 3))
    masked = _keras.masked(values, keras.ops.convert_to_tensor([True, False]))
    assert _keras.keras_mask(values) is None
    np.testing.assert_array_equal(_keras.keras_mask(masked), [True, False])
    tokens = keras.ops.convert_to_tensor([[1, 0]])
    embedded = keras.layers.Embedding(3, 2, mask_zero=True)(tokens)
    np.testing.assert_array_equal(_keras.keras_mask(embedded), [[True, False]])
