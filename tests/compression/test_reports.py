import keras
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
