"""MediaPipe reads an exported file as its metadata say; it needs an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_kd import export

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "pretrained"
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def mediapipe(tmp_path_factory):
    """Returns the Python of an environment with MediaPipe: KERAS_KD_MEDIAPIPE, or a new one."""
    if given := os.environ.get("KERAS_KD_MEDIAPIPE"):
        return given
    folder = tmp_path_factory.mktemp("mediapipe")
    python = folder / "bin" / "python"
    commands = [[sys.executable, "-m", "venv", folder], [python, "-m", "pip", "install", "-q"]]
    commands[1] += ["mediapipe", "pillow"]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mediapipe cannot be installed: {done.stderr[-200:]}")
    return str(python)


@pytest.fixture(scope="session")
def classifier():
    """Returns the ResNet-8 with MLPerf Tiny's weights, which takes raw pixels."""
    weights = DATA / "mlperf_tiny" / "pretrainedResnet.h5"
    if not weights.exists():
        pytest.skip(f"the weights do not lie in {weights.parent}")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from resnet8 import load_reference_weights, resnet8
    finally:
        sys.path.pop(0)
    model = resnet8(activation="softmax")
    load_reference_weights(model, weights)
    return model


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Returns a photo, the same at the size of the network's input, and crops of photos."""
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    folder = DATA / "coral_imagenet" / "images"
    small = tmp_path_factory.mktemp("photos") / "cat.png"
    image.open(folder / "cat.bmp").convert("RGB").resize((32, 32)).save(small)
    crops = [np.asarray(image.open(small))]
    for file in sorted(folder.iterdir()):
        photo = image.open(file).convert("RGB")
        for x, y in random.integers(0, min(photo.size) // 2, (20, 2)):
            box = (x, y, x + min(photo.size) // 2, y + min(photo.size) // 2)
            crops.append(np.asarray(photo.resize((32, 32), box=tuple(map(int, box)))))
    return folder / "cat.bmp", small, np.stack(crops).astype("float32")


def classify(python, file, *photos):
    script = Path(__file__).with_name("mediapipe_classifier.py")
    command = [python, str(script), str(file), *map(str, photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("quantization", "io_dtype"),
    [
        ("float32", None),
        ("float16", None),
        ("dynamic", None),
        ("int8", "uint8"),
        ("int8", "float32"),
    ],
)
def test_image_classifier(mediapipe, classifier, photos, tmp_path, quantization, io_dtype):
    photo, small, pixels = photos
    path = tmp_path / "classifier.tflite"
    export.tflite(
        classifier,
        path,
        quantization,
        pixels,
        io_dtype=io_dtype,
        labels=CIFAR10,
        normalization=(0, 1),
    )
    answers = classify(mediapipe, path, photo, small)
    assert answers["metadata"] == {
        "names": ["image", "output_0"],
        "size": [32, 32],
        "normalization": [[0.0]],
        "range": [[0.0], [1.0]],
    }
    of_photo, of_small = answers["photos"].values()
    want = export.predict(path, pixels[:1])[0]
    assert set(of_photo) == set(of_small) == set(CIFAR10)
    assert max(of_small, key=of_small.get) == CIFAR10[want.argmax()]
    got = [of_small[name] for name in CIFAR10]
    np.testing.assert_allclose(got, want, atol=2 / 255 if quantization == "int8" else 1e-4)
    assert max(of_photo, key=of_photo.get) == CIFAR10[classifier(pixels[:1]).numpy().argmax()]
