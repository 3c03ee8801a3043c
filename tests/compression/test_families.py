"""Networks of keras.applications, pruned, clustered and quantised, trained a step and exported."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import compression

# Minutes each; see CONTRIBUTING.md.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.tensorflow,
    pytest.mark.usefixtures("rounding"),
    # These round halves otherwise. Through fifty layers that nobody has trained, one step's
    # difference grows until nothing is left: only what rounds like the student agrees with it.
    pytest.mark.filterwarnings("ignore:The file agrees with Keras on LiteRT's default kernels"),
]

NETWORKS = {
    "MobileNetV2": {"alpha": 0.35},
    "MobileNetV3Small": {"alpha": 0.35, "minimalistic": True, "include_preprocessing": False},
    "EfficientNetB0": {},
    "ResNet50": {},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_all_methods(name, tmp_path):
    build = getattr(keras.applications, name)
    how = {"weights": None, "classes": 4, "classifier_activation": None, **NETWORKS[name]}
    student = build(input_shape=(32, 32, 3), **how)
    images = np.random.default_rng(0).uniform(0, 1, (32, 32, 32, 3)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for method, options in (
        (compression.prune, {"sparsity": 0.5}),
        (compression.cluster, {"clusters": 16}),
        (compression.quantize_aware, {}),
    ):
        student = method(student, **options)
    student.compile(keras.optimizers.Adam(1e-4), loss)
    student.fit(images, np.arange(32) % 4, batch_size=16, verbose=0)
    plain = compression.finish(student)
    assert plain.count_params() == build(input_shape=(32, 32, 3), **how).count_params()
    report = keras_kd.export.tflite(student, tmp_path / "s.tflite", "int8", verify=images)
    assert report.float_operators == {}
    assert report.relative_error < 0.15
