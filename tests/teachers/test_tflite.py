"""`.tflite` files as teachers: float and quantised, of any batch size and of a fixed one."""

import pathlib

import keras
import numpy as np
import pytest

from keras_kd.runtimes import litert
from keras_kd.teachers import TFLite

pytestmark = pytest.mark.tensorflow

CORAL = pathlib.Path(__file__).parents[3] / "shared/data/pretrained/coral_imagenet"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Files of a small classifier with a softmax, by kind."""
    import tensorflow as tf

    rng, module = np.random.default_rng(0), tf.Module()
    module.kernel = tf.Variable(rng.normal(size=(4, 3)), dtype=tf.float32)
    folder, kinds = tmp_path_factory.mktemp("files"), {}
    for name, batch in (("any", None), ("one", 1), ("int8", 5)):
        spec = tf.TensorSpec((batch, 4), tf.float32, "x")
        answers = tf.function(lambda x: tf.nn.softmax(x @ module.kernel), input_signature=[spec])
        concrete = [answers.get_concrete_function()]
        converter = tf.lite.TFLiteConverter.from_concrete_functions(concrete, module)
        if name == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            batches = rng.normal(size=(20, 5, 4)).astype("float32")
            converter.representative_dataset = lambda shown=batches: ([each] for each in shown)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        kinds[name] = folder / f"{name}.tflite"
        kinds[name].write_bytes(converter.convert())
    return kinds


def probabilities(teacher, x):
    logits = teacher.predict(x)["output"]
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


@pytest.mark.parametrize("kind", ["any", "one", "int8"])
@pytest.mark.parametrize("threads", [1, 3])
def test_answers_are_those_of_the_file(exported, kind, threads, data):
    path = exported[kind]
    teacher = TFLite(path, head="softmax", threads=threads)
    for count in (1, 7, 24):
        bare = litert.predict(path, data[0][:count])
        expected = bare / bare.sum(-1, keepdims=True)  # which quantisation has moved
        np.testing.assert_allclose(probabilities(teacher, data[0][:count]), expected, atol=1e-6)
    assert (teacher.heads["output"].shape, teacher.input_shapes()) == ((None, 3), [(None, 4)])


@pytest.mark.parametrize("kind", ["any", "int8"])
def test_a_file_teaches(exported, taught, kind):
    taught(TFLite(exported[kind], "softmax", lambda x: 0.5 * x, classes=[1, 2, 0]))


def test_a_quantised_file_of_others_without_signatures():
    pytest.importorskip("PIL")
    if not CORAL.exists():
        pytest.skip("needs ../shared/data/pretrained/coral_imagenet")
    images = [
        keras.utils.load_img(path, target_size=(224, 224))
        for path in (CORAL / "images/parrot.jpg", CORAL / "images/cat.bmp")
    ]
    pixels = np.stack([keras.utils.img_to_array(image) for image in images])
    teacher = TFLite(
        CORAL / "tf2_mobilenet_v2_1.0_224_ptq.tflite",
        head="softmax",
        preprocess=lambda x: x / 127.5 - 1.0,
        classes=[None, *range(1000)],  # the first is the background
    )
    logits = teacher.predict(np.concatenate([pixels] * 2))["output"]
    assert logits.shape == (4, 1000)
    names = (CORAL / "imagenet_labels.txt").read_text().splitlines()[1:]
    assert [names[top] for top in logits.argmax(-1)] == ["macaw", "Egyptian cat"] * 2
    from ai_edge_litert.interpreter import Interpreter

    bare = Interpreter(str(CORAL / "tf2_mobilenet_v2_1.0_224_ptq.tflite"))
    bare.allocate_tensors()
    scale, zero = bare.get_input_details()[0]["quantization"]
    steps = np.clip(np.round((pixels[:1] / 127.5 - 1.0) / scale) + zero, 0, 255)
    bare.set_tensor(bare.get_input_details()[0]["index"], steps.astype("uint8"))
    bare.invoke()
    out = bare.get_output_details()[0]
    real = bare.get_tensor(out["index"])[0] * np.float32(out["quantization"][0])
    np.testing.assert_allclose(np.exp(logits[0]), np.maximum(real[1:], 1e-37), atol=1e-6)


def test_it_is_known_by_its_content(exported, tmp_path):
    path, other = exported["any"], exported["one"]
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(path.read_bytes())
    assert TFLite(path).fingerprint() == TFLite(copy).fingerprint() != TFLite(other).fingerprint()


def test_files_that_are_none(exported, tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"path must name a .tflite file"):
        TFLite(path)
    path.write_bytes(exported["any"].read_bytes()[:300])
    with pytest.raises(ValueError, match=r"path must name a .tflite file that LiteRT can run"):
        TFLite(path)
    with pytest.raises(FileNotFoundError, match=r"path must name a .tflite file"):
        TFLite(tmp_path / "y.tflite")
    with pytest.raises(ValueError, match=r"x for the input 'x' must hold samples of the input's"):
        TFLite(exported["any"], "softmax").predict(np.zeros((2, 5), "float32"))
