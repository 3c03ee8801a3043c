"""Labels of mixed images, by the kind of their output."""

import numpy as np
import pytest

from keras_kd.networks.heads import Head
from keras_kd.soft_labels.training.mixed_labels import LabelMixer

pytestmark = pytest.mark.tensorflow

ONE = {"output": Head("softmax", (None, 4))}
BINARY = {"output": Head("sigmoid", (None, 1))}
TAGS = {"output": Head("sigmoid", (None, 3))}
SHARE = np.array([0.25, 1.0, 0.5], "float32")


def mixed(heads, own, other, share=SHARE):
    import tensorflow as tf

    own, other = np.asarray(own), np.asarray(other)
    mixer = LabelMixer(heads, own[0])
    mixer.check(own)
    return mixer(tf.constant(own), tf.constant(other), tf.constant(share)).numpy()


def test_class_ids():
    result = mixed(ONE, [0, 1, 3], [3, 2, 3])
    np.testing.assert_allclose(result, [[0.25, 0, 0, 0.75], [0, 1, 0, 0], [0, 0, 0, 1]])
    columns = mixed(ONE, [[0], [1], [3]], [[3], [2], [3]])
    np.testing.assert_allclose(columns, result)


def test_one_unit():
    np.testing.assert_allclose(mixed(BINARY, [0, 1, 1], [1, 0, 0]), [0.75, 1, 0.5])
    np.testing.assert_allclose(
        mixed(BINARY, [[0], [1], [1]], [[1], [0], [0]]), [[0.75], [1], [0.5]]
    )


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool", "uint8"])
def test_rows(dtype):
    own, other = np.eye(3, dtype=dtype), np.eye(3, dtype=dtype)[::-1]
    expected = SHARE[:, None] * np.eye(3) + (1 - SHARE[:, None]) * np.eye(3)[::-1]
    np.testing.assert_allclose(mixed(TAGS, own, other), expected)


def test_missing_ones():
    assert (mixed(ONE, [-1, 1, 0], [0, 2, -1])[[0, 2]] == -1).all()
    rows = np.array([[-1.0] * 3, [1, 0, 0], [0, 1, 0]], "float32")
    result = mixed(TAGS, rows, rows[[1, 1, 0]])
    assert (result[[0, 2]] == -1).all()
    np.testing.assert_allclose(result[1], [1, 0, 0])


def test_each_output_has_its_own_classes():
    import tensorflow as tf

    heads = {"a": Head("softmax", (None, 3)), "b": Head("softmax", (None, 5))}
    labels = {"a": np.array([0, 1, 2]), "b": np.array([4, 3, 0])}
    mixer = LabelMixer(heads, {name: ids[0] for name, ids in labels.items()})
    tensors = {name: tf.constant(ids) for name, ids in labels.items()}
    result = mixer(tensors, tensors, tf.constant(SHARE))
    assert np.array_equal(result["b"], np.eye(5)[labels["b"]])
    assert result["a"].shape == (3, 3)


def test_ids_beyond_the_classes_are_refused():
    import tensorflow as tf

    with pytest.raises(ValueError, match=r"ids of its classes.*0 to 3.*Received: 0 to 4"):
        mixed(ONE, [0, 4, 1], [0, 1, 1])
    mixer = LabelMixer(ONE, np.int64(0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="ids of its classes"):
        mixer(tf.constant([4]), tf.constant([0]), tf.constant([0.5]))


@pytest.mark.parametrize(
    "labels",
    [np.float32(1.0), np.zeros(3, "int64"), np.zeros((2, 2), "int64"), np.zeros(5, "float32")],
)
def test_what_cannot_be_mixed_is_refused(labels):
    with pytest.raises(ValueError, match=r"must be ids or rows that can be mixed.*one-hot rows"):
        LabelMixer(ONE, labels)


@pytest.mark.parametrize("labels", [{"cls": 1, "dist": 2}, [1, 2]])
def test_labels_of_other_outputs_than_the_teachers_are_not_left_unmixed(labels):
    labels = {n: np.int64(y) for n, y in labels.items()} if isinstance(labels, dict) else labels
    with pytest.raises(ValueError, match="Labels that are mixed must be of the teacher's outputs"):
        LabelMixer(ONE, labels)
