import keras
import pytest
from keras import layers

from keras_kd import compression


def test_kernels_and_what_is_left_alone():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(2, name="logits"),
        ]
    )
    student = compression.cluster(model, clusters=4, skip=["logits"])
    report = compression.report(student)
    (kernel,) = report.kernels
    assert (kernel.path, kernel.weights, kernel.bits) == ("hidden/kernel", 32, None)
    assert kernel.values <= 4
    assert report.left_alone["norm"] == "no kernel (cluster)"
    assert "left out by skip=" in report.left_alone["logits"]
    assert "hidden/kernel" in str(report)
    assert "left alone: norm: no kernel" in str(report)


@pytest.mark.skipif(
    not hasattr(keras.quantizers, "fake_quant_with_min_max_vars"), reason="Keras 3.9 has it"
)
def test_attention_says_why_it_stays_in_float():
    x = keras.Input((4, 6))
    attended = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    model = keras.Model(x, layers.Dense(2)(attended))
    report = compression.report(compression.quantize_aware(model))
    expected = {"attention": "MultiHeadAttention has no integer form (quantize_aware)"}
    assert report.left_alone == expected
