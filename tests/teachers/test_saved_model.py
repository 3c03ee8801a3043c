"""SavedModels as teachers: of Keras 3, of tf_keras with its metadata, of TensorFlow alone."""

import keras
import numpy as np
import pytest

from keras_kd.teachers import Function, SavedModel

pytestmark = pytest.mark.tensorflow

KERNEL = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")


@pytest.fixture
def written(tmp_path):
    """Returns `f(**signatures)`: the path of a SavedModel of TensorFlow alone."""
    import tensorflow as tf

    def write(name="teacher", **signatures):
        module = tf.Module()
        module.kernel = tf.Variable(KERNEL)
        functions = {
            key: tf.function(
                lambda x, f=function: f(x, module.kernel),
                input_signature=[tf.TensorSpec(shape, tf.float32, "x")],
            )
            for key, (function, shape) in signatures.items()
        }
        tf.saved_model.save(module, str(tmp_path / name), signatures=functions)
        return tmp_path / name

    return write


def matmul(x, kernel):
    return {"y": x @ kernel}


def test_keras_own_export(net, data, taught, tmp_path):
    model = net(activation="softmax")
    model.export(tmp_path / "teacher", verbose=False)
    teacher = SavedModel(tmp_path / "teacher", head="softmax", classes=[2, 0, 1])
    p = keras.ops.convert_to_numpy(keras.ops.softmax(teacher.predict(data[0])["output"]))
    expected = keras.ops.convert_to_numpy(model(data[0]))[:, [1, 2, 0]]
    np.testing.assert_allclose(p, expected, atol=1e-6)
    assert (teacher.heads["output"].shape, teacher.input_shapes()) == ((None, 3), [(None, 4)])
    taught(teacher)


def test_with_keras_metadata(data, tmp_path):
    tf_keras = pytest.importorskip("tf_keras")
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,), name="y")])
    model.save(tmp_path / "teacher", save_format="tf")
    assert (tmp_path / "teacher/keras_metadata.pb").exists()
    logits = SavedModel(tmp_path / "teacher", head="logits").predict(data[0])["output"]
    np.testing.assert_allclose(logits, data[0] @ model.get_weights()[0], atol=1e-6)


def test_signatures_are_chosen_or_named(written, data, taught):
    path = written(
        plain=(matmul, (None, 4)),
        twice=(lambda x, k: {"y": 2 * x @ k}, (None, 4)),
        fixed=(matmul, (8, 4)),
        image=(lambda x, k: {"y": (x @ k)[:, None]}, (None, 4)),
    )
    with pytest.raises(ValueError, match=r"one of \['plain', 'twice'\]. Received: None, of .*'fix"):
        SavedModel(path)
    with pytest.raises(ValueError, match="Received: 'fixed', of "):
        SavedModel(path, signature="fixed")
    teacher = SavedModel(path, "logits", signature="twice")
    np.testing.assert_allclose(teacher.predict(data[0])["output"], 2 * data[0] @ KERNEL, atol=1e-5)
    taught(teacher)
    with pytest.raises(ValueError, match="Expected: a SavedModel that has one"):
        SavedModel(written("other", fixed=(matmul, (8, 4))))


def test_inputs_of_unknown_rank_and_several_outputs(written, data):
    both = {"a": 1.0, "b": 2.0}
    path = written(serving_default=(lambda x, k: {key: f * x @ k for key, f in both.items()}, None))
    with pytest.raises(ValueError, match=r"one output \(batch, classes\), or output= name one"):
        SavedModel(path)
    teacher = SavedModel(path, "logits", output="b")
    np.testing.assert_allclose(teacher.predict(data[0])["output"], 2 * data[0] @ KERNEL, atol=1e-5)
    assert teacher.input_shapes() is None


def test_the_batch_size_stays(written, data, net):
    from keras_kd import Distiller

    path = written(serve=(matmul, (None, 4)))
    teacher = SavedModel(path, "logits", preprocess=lambda x: x[::2])
    with pytest.raises(
        ValueError, match="preprocess and signature of 'teacher' must keep the batc"
    ):
        teacher.predict(data[0])
    distiller = Distiller(student=net(), teacher=[teacher, Function(lambda x: x[:, :3], "logits")])
    distiller.compile("sgd")
    with pytest.raises(
        ValueError, match="preprocess and signature of 'teacher' must keep the batc"
    ):
        distiller.fit(data[0], verbose=0)


def test_it_is_known_by_its_content(written, tmp_path):
    path = written(serve=(matmul, (None, 4)))
    assert SavedModel(path).fingerprint() == SavedModel(path).fingerprint()
    other = written("other", serve=(lambda x, k: {"y": x @ k + 1}, (None, 4)))
    assert SavedModel(path).fingerprint() != SavedModel(other).fingerprint()
    (tmp_path / "x").write_text("no folder")
    with pytest.raises(ValueError, match="path must name a folder with a SavedModel"):
        SavedModel(tmp_path / "x")
