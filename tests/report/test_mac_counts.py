"""Multiplications of models and files, against published and counted ones."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_kd.report.mac_counts import file_macs, macs

PRETRAINED = Path(__file__).parents[3] / "shared" / "data" / "pretrained"


def test_macs_of_mobilenet_v2():
    model = keras.applications.MobileNetV2(weights=None)
    assert macs(model) == pytest.approx(300e6, rel=0.01)


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="needs ../shared/data/pretrained")
def test_macs_of_resnet8_and_of_files():
    pytest.importorskip("ai_edge_litert")
    folder = PRETRAINED / "mlperf_tiny"
    model = keras.models.load_model(folder / "pretrainedResnet.h5", compile=False)
    assert macs(model) == pytest.approx(12.5e6, rel=0.01)
    for name in ("pretrainedResnet.tflite", "pretrainedResnet_quant.tflite"):
        assert file_macs((folder / name).read_bytes()) == macs(model)
    coral = PRETRAINED / "coral_imagenet" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
    assert file_macs(coral.read_bytes()) == pytest.approx(300e6, rel=0.01)


def test_macs_of_other_layers():
    layers = keras.layers
    for layer, shape, want in [
        (layers.SeparableConv2D(6, 3), (8, 8, 2), 36 * (9 * 2 + 2 * 6)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 3), 36 * 9 * 6),
        (layers.Conv2DTranspose(5, 3, strides=2), (4, 4, 2), 16 * 9 * 2 * 5),
        (layers.Conv1D(4, 3, groups=2), (10, 2), 8 * 3 * 1 * 4),
        (layers.LSTM(4), (5, 3), 5 * (3 * 16 + 4 * 16)),
        (layers.Bidirectional(layers.GRU(4)), (5, 3), 2 * 5 * (3 * 12 + 4 * 12)),
        (layers.TimeDistributed(layers.Dense(2)), (5, 3), 5 * 6),
        (layers.EinsumDense("abc,cd->abd", (5, 2)), (5, 3), 5 * 6),
        (layers.Dense(2), (5, 3), 5 * 6),
        (layers.BatchNormalization(), (4,), 0),
    ]:
        assert macs(keras.Sequential([keras.Input(shape), layer])) == want, layer
    x = keras.Input((6, 8))
    attended = layers.MultiHeadAttention(2, 4)(x, x)
    assert macs(keras.Model(x, attended)) == 4 * 6 * 64 + 2 * 6 * 6 * 8
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    y = keras.Input((8,))
    assert macs(keras.Model(y, inner(y) + inner(y))) == 48
    assert macs(keras.Sequential([keras.Input((None, 3)), layers.Dense(2)])) is None

    class Own(layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(3, 3))

        def call(self, x):
            return x

    assert macs(keras.Sequential([keras.Input((3,)), Own()])) is None


def test_products_between_tensors_count_or_are_unknown():
    layers, ops = keras.layers, keras.ops
    x, y = keras.Input((10, 8)), keras.Input((16, 8))
    mask = keras.Input((10, 16))
    mha = layers.MultiHeadAttention(2, 4)
    heads = 2 * (10 + 16) * 64 + 2 * 10 * 16 * 8
    for given, output, want in [
        ([x, y], layers.Attention()([x, y]), 2 * 10 * 16 * 8),
        ([x, y], layers.Dot(axes=2)([x, y]), 10 * 16 * 8),
        ([x, y, mask], mha(x, y, attention_mask=mask), heads),
        ([x, y], mha(query=x, value=y), heads),
        ([x], ops.matmul(np.ones((5, 10), "float32"), x), 5 * 8 * 10),
        ([x], ops.softmax(2.0 * x[:, :3], -1), 0),
        ([x], ops.tensordot(x, np.ones((8, 3), "float32"), axes=1), None),
        ([x], ops.conv(x, np.ones((3, 8, 2), "float32")), None),
        ([x], layers.Lambda(lambda z: z @ ops.transpose(z, (0, 2, 1)))(x), None),
        ([x, y], layers.AdditiveAttention()([x, y]), None),
    ]:
        assert macs(keras.Model(given, output)) == want, output
    heads = ops.reshape(x, (-1, 10, 2, 4))
    assert macs(keras.Model(x, ops.dot_product_attention(heads, heads, heads))) is None
