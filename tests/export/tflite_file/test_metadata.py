import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_kd import export
from keras_kd.export.student.outputs import Output
from keras_kd.export.tflite_file import metadata
from keras_kd.runtimes.tensors import TensorInfo

from . import metadata_reader

NAMES = [f"class {number}" for number in range(10)]
TOKENS = TensorInfo("tokens", (1, 12), "int32")
SCORES = Output("scores", (None, 3), "softmax")
LOGITS = Output("logits", (None, 2), "logits")


@pytest.fixture
def read(in_process, tmp_path):
    def export_and_read(model, **arguments):
        path = tmp_path / "a.tflite"
        export.tflite(model, path, **arguments)
        content = path.read_bytes()
        buffer = metadata_reader.buffer_of(content)
        return content, metadata_reader.root(buffer)

    return export_and_read


def test_names_sizes_ranges_and_labels(read, cnn, images):
    x = keras.Input((12, 12, 1), name="image")
    model = keras.Model(x, keras.layers.Softmax()(cnn(x)), name="digits")
    content, root = read(model, verify=images, labels=NAMES, normalization=(127.5, [127.5]))
    (graph,) = root.children(3)
    assert (root.string(0), root.string(7), graph.string(0)) == ("digits", "1.0.0", "digits")
    (image,), (scores,) = graph.children(2), graph.children(3)
    assert (image.string(0), scores.string(0)) == ("image", "output_0")
    assert image.child(3).byte(0) == 2  # ImageProperties
    properties = image.child(3).child(1)
    assert properties.byte(0) == 2  # GRAYSCALE
    assert [properties.child(1).uint(slot) for slot in (0, 1)] == [12, 12]
    (unit,) = image.children(4)
    assert unit.byte(0) == 1  # NormalizationOptions
    assert [unit.child(1).floats(slot) for slot in (0, 1)] == [[127.5], [127.5]]
    assert [image.child(5).floats(slot) for slot in (0, 1)] == [[1.0], [-1.0]]
    assert [scores.child(5).floats(slot) for slot in (0, 1)] == [[1.0], [0.0]]
    (file,) = scores.children(6)
    assert (file.string(0), file.byte(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS
    assert metadata_reader.files(content) == {"labels.txt": "\n".join([*NAMES, ""]).encode()}
    assert metadata_reader.misaligned(content) == []


def test_the_same_model_gives_the_same_bytes(read, cnn, images):
    contents = [read(cnn, quantization="int8", calibration=images, labels=NAMES)[0] for _ in "ab"]
    assert contents[0] == contents[1]


def test_each_tensor_has_its_own_in_the_order_of_the_file(read, two_by_two, pairs):
    content, root = read(two_by_two, verify=pairs, labels={"small": ["no", "yes"]})
    (graph,) = root.children(3)
    interpreter = Interpreter(model_content=content)
    details = interpreter.get_signature_runner("serve")
    for slot, tensors, by_name in (
        (2, interpreter.get_input_details(), details.get_input_details()),
        (3, interpreter.get_output_details(), details.get_output_details()),
    ):
        names = {detail["index"]: name for name, detail in by_name.items()}
        want = [names[tensor["index"]] for tensor in tensors]
        assert [node.string(0) for node in graph.children(slot)] == want
        assert [node.child(3).byte(0) for node in graph.children(slot)] == [1, 1]
    files = {n.string(0): [f.string(0) for f in n.children(6)] for n in graph.children(3)}
    assert files == {"small": ["labels.txt"], "big": []}


def test_labels_of_several_outputs_have_files_of_their_own():
    labels = {"scores": ["a", "b", "c"], "logits": ["x", "y"]}
    tensors = [(TensorInfo(o.name, o.shape, "float32"), o) for o in (SCORES, LOGITS)]
    root, files = metadata.tables("two", [TOKENS], tensors, labels, {})
    assert files == {"labels_scores.txt": b"a\nb\nc\n", "labels_logits.txt": b"x\ny\n"}
    scores, logits = root[3][0][3]
    assert 5 in scores
    assert 5 not in logits


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        (["a", "b"], ValueError, r"as many as the classes of the output 'scores'.*3\. Received: 2"),
        ("abc", TypeError, "labels must be strings"),
        ([1, 2, 3], TypeError, "labels must be strings"),
        (["a", "b\nc", "d"], ValueError, "labels must fit a line each"),
        (["a", "", "d"], ValueError, "labels must fit a line each"),
        ({"other": ["a", "b", "c"]}, ValueError, "labels must say whose they are"),
    ],
)
def test_wrong_labels(labels, error, match):
    with pytest.raises(error, match=match):
        metadata.check_class_names(labels, [SCORES])


def test_labels_of_several_outputs_go_by_name():
    named = metadata.check_class_names({"logits": ("x", "y")}, [SCORES, LOGITS])
    assert named == {"logits": ["x", "y"]}
    with pytest.raises(ValueError, match=r"whose they are.*\['scores', 'logits'\]"):
        metadata.check_class_names(["x", "y"], [SCORES, LOGITS])


@pytest.mark.parametrize("labels", [5, (name for name in "abc"), {"scores": None}])
def test_labels_that_are_no_list(labels):
    with pytest.raises(TypeError, match="labels must be strings"):
        metadata.check_class_names(labels, [SCORES])
    named = metadata.check_class_names(np.array(["a", "b", "c"]), [SCORES])
    assert named == {"scores": ["a", "b", "c"]}
