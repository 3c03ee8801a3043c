"""ONNX files as teachers."""

import keras
import numpy as np
import pytest

from keras_kd.teachers import ONNX

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

KERNEL = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")


@pytest.fixture
def file(tmp_path):
    """Returns `f(batch="n", **shapes)`: the path of a file that multiplies by `KERNEL`."""

    def write(batch="n", name="linear.onnx", outputs=("y",)):
        helper, number = onnx.helper, onnx.TensorProto.FLOAT
        nodes = [helper.make_node("MatMul", ["x", "w"], [output]) for output in outputs]
        graph = helper.make_graph(
            nodes,
            "linear",
            [helper.make_tensor_value_info("x", number, [batch, 4])],
            [helper.make_tensor_value_info(output, number, [batch, 3]) for output in outputs],
            [onnx.numpy_helper.from_array(KERNEL, "w")],
        )
        opsets = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / name)
        return tmp_path / name

    return write


@pytest.mark.parametrize("batch", ["n", 5])
def test_answers_are_those_of_the_file(file, batch, data):
    teacher = ONNX(file(batch), head="logits", classes=[2, 0, 1])
    logits = teacher.predict(data[0])["output"]
    np.testing.assert_allclose(logits, (data[0] @ KERNEL)[:, [1, 2, 0]], atol=1e-6)
    assert (teacher.heads["output"].shape, teacher.input_shapes()) == ((None, 3), [(None, 4)])


@pytest.mark.tensorflow
def test_a_file_teaches(file, taught):
    taught(ONNX(file(), "logits", preprocess=lambda x: 0.5 * x))


@pytest.mark.tensorflow
def test_a_converted_forest_teaches(taught, data, tmp_path):
    convert = pytest.importorskip("skl2onnx").to_onnx
    forests = pytest.importorskip("sklearn.ensemble")
    forest = forests.RandomForestClassifier(8, max_depth=3, random_state=0).fit(*data)
    made = convert(forest, data[0][:1], options={"zipmap": False}, target_opset=15)
    (tmp_path / "forest.onnx").write_bytes(made.SerializeToString())
    teacher = ONNX(tmp_path / "forest.onnx", head="softmax", classes=forest.classes_)
    p = keras.ops.convert_to_numpy(keras.ops.softmax(teacher.predict(data[0])["output"]))
    np.testing.assert_allclose(p, forest.predict_proba(data[0]), atol=1e-6)
    taught(teacher)


def test_it_is_known_by_its_content(file):
    again = ONNX(file(name="copy.onnx")).fingerprint()
    assert ONNX(file()).fingerprint() == again != ONNX(file(5)).fingerprint()


def test_files_that_are_none(file, tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"not a model")
    with pytest.raises(ValueError, match="path must name an ONNX file that onnxruntime can run"):
        ONNX(tmp_path / "x.onnx")
    with pytest.raises(FileNotFoundError, match="path must name an ONNX file"):
        ONNX(tmp_path / "y.onnx")
    two = file(outputs=("a", "b"))
    with pytest.raises(ValueError, match=r"one output \(batch, classes\), or output= name one"):
        ONNX(two)
    with pytest.raises(ValueError, match=r"output must name an output.*\['a', 'b'\]"):
        ONNX(two, output="c")
    assert ONNX(two, "logits", output="b").predict(np.zeros((2, 4)))["output"].shape == (2, 3)


def test_a_file_of_sklearn_with_a_list_of_dicts(tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    from sklearn.linear_model import LogisticRegression

    x, y = np.random.default_rng(0).normal(size=(20, 4)).astype("float32"), np.arange(20) % 3
    content = skl2onnx.to_onnx(LogisticRegression().fit(x, y), x[:1]).SerializeToString()
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"outputs of floats.*'output_probability' of seq.*zipmap"):
        ONNX(tmp_path / "x.onnx")
