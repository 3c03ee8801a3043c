import numpy as np
import pytest

from keras_kd.export.student.outputs import Output
from keras_kd.export.verification import accuracy

CLASSES = Output("classes", (None, 3), "softmax")
BINARY = Output("binary", (None, 1), "sigmoid")
LOGIT = Output("logit", (None, 1), "logits")
TOKENS = Output("tokens", (None, 2, 3), None)
IDS = np.array([0, 2, 1, 2])


def test_class_ids_in_every_form():
    for y in (IDS, IDS[:, None], np.eye(3)[IDS], IDS.astype("float32"), IDS.tolist()):
        labels = accuracy.check_labels(y, [CLASSES], 4)
        np.testing.assert_array_equal(labels["classes"], IDS)


def test_several_outputs():
    ones = np.array([1, 0, 1, 1])
    want = {"classes": IDS, "binary": ones}
    for y in ([IDS, ones], {"binary": ones, "classes": IDS}):
        labels = accuracy.check_labels(y, [CLASSES, BINARY], 4)
        for name, ids in want.items():
            np.testing.assert_array_equal(labels[name], ids)
    assert list(accuracy.check_labels({"binary": ones}, [CLASSES, BINARY], 4)) == ["binary"]


def test_the_output_that_loses_most_counts():
    before = {"classes": np.eye(3)[IDS], "logit": np.array([[2.0], [-1.0], [0.3], [0.4]])}
    after = {"classes": np.eye(3)[[0, 2, 1, 1]], "logit": np.array([[2.0], [1.0], [-0.3], [0.4]])}
    labels = {"classes": IDS, "logit": np.array([1, 0, 1, 1])}
    outputs = [CLASSES, LOGIT]
    assert accuracy.measure(labels, outputs, before, after) == accuracy.Accuracy(1.0, 0.5, "logit")
    only = {"classes": IDS}
    assert accuracy.measure(only, outputs, before, after) == accuracy.Accuracy(1.0, 0.75, "classes")


def test_without_labels_there_is_no_accuracy():
    answers = {"classes": np.eye(3)}
    assert accuracy.measure(None, [CLASSES], answers, answers) == accuracy.Accuracy()


def test_a_sigmoid_is_split_in_the_middle():
    answers = {"binary": np.array([[0.4], [0.6]])}
    labels = {"binary": np.array([0, 1])}
    assert accuracy.measure(labels, [BINARY], answers, answers).accuracy_after == 1.0


def test_missing_labels_do_not_count():
    labels = accuracy.check_labels([0, -1, 1, -1], [CLASSES], 4)
    answers = {"classes": np.eye(3)[[0, 1, 2, 2]]}
    assert accuracy.measure(labels, [CLASSES], answers, answers).accuracy_before == 0.5


def test_positions_have_classes_each():
    ids = np.array([[0, 1], [2, -1]])
    labels = accuracy.check_labels(ids, [TOKENS], 2)
    answers = {"tokens": np.eye(3)[np.array([[0, 1], [1, 1]])]}
    assert accuracy.measure(labels, [TOKENS], answers, answers).accuracy_after == pytest.approx(
        2 / 3
    )


@pytest.mark.parametrize(("head", "middle"), [("sigmoid", 0.5), ("logits", 0.0)])
def test_several_labels_a_sample_are_bits(head, middle):
    outputs = [Output("tags", (None, 3), head)]
    labels = accuracy.check_labels([[1, 1, 0], [0, 0, -1]], outputs, 2)
    answers = {"tags": middle + np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, 0.3]])}
    measured = accuracy.measure(labels, outputs, answers, answers)
    assert measured == accuracy.Accuracy(0.8, 0.8, "tags")


def test_one_hot_rows_of_a_sigmoid_are_bits_too():
    outputs = [Output("tags", (None, 2), "sigmoid")]
    labels = accuracy.check_labels([[1, 0], [0, 1]], outputs, 2)
    answers = {"tags": np.array([[0.9, 0.6], [0.6, 0.9]])}
    assert accuracy.measure(labels, outputs, answers, answers).accuracy_after == 0.5


@pytest.mark.parametrize(
    ("y", "outputs", "error", "match"),
    [
        (IDS[:3], [CLASSES], ValueError, r"one class id for each answer.*\(4,\).*\(3,\)"),
        (np.ones((4, 2)), [CLASSES], ValueError, "one class id for each answer"),
        (IDS + 1, [CLASSES], ValueError, "class ids.*from 0 to 2.*from 1 to 3"),
        (IDS * 0.5, [CLASSES], ValueError, "be class ids"),
        (IDS * 0 - 1, [CLASSES], ValueError, "be class ids"),
        (
            IDS > 0,
            [Output("yes", (None, 1), None)],
            ValueError,
            "head .*'yes' must be known.*student_",
        ),
        ([[1, 1, 0]] * 4, [CLASSES], ValueError, "one class for each answer.*'softmax'"),
        ([[2, 1, 0]] * 4, [Output("t", (None, 3), "sigmoid")], ValueError, "yes or no for each"),
        (np.array(list("abcd")), [CLASSES], TypeError, "be numbers"),
        (IDS, [CLASSES, BINARY], ValueError, r"by output.*\['classes', 'binary'\]"),
        ({"other": IDS}, [CLASSES], ValueError, "by output"),
    ],
)
def test_wrong_labels(y, outputs, error, match):
    with pytest.raises(error, match=match):
        accuracy.check_labels(y, outputs, 4)


def test_the_drop_needs_labels_and_is_a_share():
    assert accuracy.check_drop(None, None) is None
    assert accuracy.check_drop(0.003, IDS) == 0.003
    with pytest.raises(ValueError, match=r"max_accuracy_drop must have labels.*verify=\(x, y\)"):
        accuracy.check_drop(0.003, None)
    with pytest.raises(ValueError, match="max_accuracy_drop must be a finite number from 0 to 1"):
        accuracy.check_drop(2, IDS)
