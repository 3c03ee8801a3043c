import re

import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd._text import bytes_in_words
from keras_kd.export import VerificationError

layers = keras.layers
DATA = np.random.default_rng(0).normal(size=(120, 6)).astype("float32")


@pytest.mark.filterwarnings("ignore:The file agrees with Keras on LiteRT's default kernels")
@pytest.mark.parametrize(
    ("layer", "operators"),
    [
        (layers.LayerNormalization, r"NEG \d"),
        (layers.UnitNormalization, r"SQUARE \d"),
    ],
)
def test_operators_in_float_are_named(in_process, tmp_path, layer, operators):
    model = keras.Sequential([keras.Input((6,)), layer(), layers.Dense(2)])
    words = f"The int8 file computes in float in part: {operators} .*LayerNormalization by"
    with pytest.warns(UserWarning, match=words) as caught:
        report = export.tflite(model, tmp_path / "a.tflite", "int8", DATA)
    assert {w.filename for w in caught if w.category is UserWarning} == {__file__}
    assert report.float_operators


def test_whole_numbers_throughout_are_not_warned_of(in_process, cnn, images, tmp_path):
    assert export.tflite(cnn, tmp_path / "a.tflite", "int8", images).float_operators == {}


@pytest.mark.filterwarnings("ignore:The int8 file computes in float in part")
def test_unrolled_layers_that_make_a_larger_file(in_process, tmp_path):
    data = np.random.default_rng(0).normal(size=(120, 20, 3)).astype("float32")
    sizes = {}
    for unroll, mode in ((False, "float32"), (True, "int8")):
        memory = layers.LSTM(8, unroll=unroll, name="memory")
        model = keras.Sequential([keras.Input((20, 3)), memory, layers.Dense(2)])
        if mode == "float32":
            sizes[mode] = export.tflite(model, tmp_path / "a.tflite", verify=data).bytes
            continue
        with pytest.warns(
            UserWarning, match=r"int8 file holds [\d.]+ kB.*'memory'.*dynamic"
        ) as found:
            sizes[mode] = export.tflite(model, tmp_path / "a.tflite", mode, data).bytes
    assert sizes["int8"] > sizes["float32"]
    (text,) = (str(warning.message) for warning in found if "holds" in str(warning.message))
    int8, float32 = re.findall(r"[\d.]+ kB", text)
    assert int8 == bytes_in_words(sizes["int8"])
    assert float(float32[:-3]) == pytest.approx(sizes["float32"] / 1000, rel=0.5)


def test_weights_beyond_float16(in_process, tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="wide"), layers.Dense(2)])
    model.get_layer("wide").set_weights([np.full((6, 4), 1e6), np.zeros(4)])
    words = r"float16's 65504, unlike '[^']*wide/kernel' \(1e\+06\), or use quantization='dynamic'"
    with pytest.raises(VerificationError, match=words):
        export.tflite(model, tmp_path / "a.tflite", "float16", verify=DATA)


def test_features_of_unlike_size(in_process, tmp_path):
    scales = np.array([1e4, 1.0], "float32")
    model = keras.Sequential([keras.Input((2,), name="x"), layers.Dense(3, use_bias=False)])
    kernel = np.random.default_rng(0).normal(size=(2, 3)) / scales[:, None] * [[0.01], [1]]
    model.set_weights([kernel])
    words = r"Scale the features of 'x' to a like size.*over \d\.\d+ to \d\.\d+e\+04 and share 256"
    with pytest.raises(VerificationError, match=words):
        export.tflite(model, tmp_path / "a.tflite", "int8", DATA[:, :2] * scales)
    export.tflite(model, tmp_path / "a.tflite", "dynamic", verify=DATA[:, :2] * scales)
