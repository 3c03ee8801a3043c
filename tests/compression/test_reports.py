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
    assert report.left_alone["logits"] == "left out by skip= (cluster)"
    assert "hidden/kernel" in str(report)
    assert "left alone: norm: no kernel" in str(report)


def test_what_a_pattern_leaves_alone():
    words = layers.Embedding(9, 4, name="words")
    model = keras.Sequential([keras.Input((5,)), words, layers.Dense(8, name="dense")])
    report = compression.report(compression.prune(model, pattern="2:4"))
    expected = {"words": "Embedding has no sum over its inputs for pattern= (prune)"}
    assert report.left_alone == expected
    assert [kernel.path for kernel in report.kernels] == ["dense/kernel"]


@pytest.mark.usefixtures("rounding")
def test_paths_are_the_students(trained):
    report = compression.report(trained)
    separable = {f"backbone/separable/{kind}_kernel" for kind in ("depthwise", "pointwise")}
    others = {f"{path}/kernel" for path in ("conv", "backbone/depthwise", "dense", "logits")}
    assert {kernel.path for kernel in report.kernels} == separable | others
    assert report.left_alone == {}


@pytest.mark.usefixtures("rounding")
def test_each_reason_with_its_methods():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.ELU(name="elu"),
            layers.Dense(8, activation="elu", name="second"),
            layers.LayerNormalization(name="layer_norm"),
            layers.Dropout(0.1),
            layers.Dense(2, name="logits"),
        ]
    )
    student = compression.prune(model, 0.5, skip=["logits"])
    student = compression.quantize_aware(student, skip=["logits"])
    assert compression.report(student).left_alone == {
        "norm": "no kernel (prune)",
        "elu": "ELU has no integer form (quantize_aware)",
        "second": "elu has no integer form (quantize_aware)",
        "layer_norm": "no kernel (prune); LayerNormalization has no integer form (quantize_aware)",
        "logits": "left out by skip= (prune, quantize_aware)",
    }
    with pytest.raises(ValueError, match=r"Received: hidden/kernel: .*; second/kernel: "):
        compression.finish(student)


@pytest.mark.usefixtures("rounding")
def test_attention_says_why_it_stays_in_float():
    x = keras.Input((4, 6))
    attended = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    model = keras.Model(x, layers.Dense(2)(attended))
    report = compression.report(compression.quantize_aware(model))
    expected = {"attention": "MultiHeadAttention has no integer form (quantize_aware)"}
    assert report.left_alone == expected
