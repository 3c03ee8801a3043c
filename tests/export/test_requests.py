import warnings

import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export.conversion import child


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_model_that_keras_has_quantised(tmp_path, monkeypatch, quantization):
    monkeypatch.setattr(child, "hand_over", lambda *_: pytest.fail("the work began"))
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, name="wide")])
    model = keras.Sequential([keras.Input((6,)), inner, keras.layers.Dense(2)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras names layers without weights
        model.quantize("int8")
    data = np.random.default_rng(0).normal(size=(120, 6))
    with pytest.raises(
        ValueError, match=r"not be quantised by Keras.*2 layers of model.quantize\('in"
    ):
        export.tflite(model, tmp_path / "a.tflite", quantization, data)
