"""Raw data become batches of all their parts, whatever containers they come in."""

import numpy as np
import pytest

from keras_kd.teachers import raw_arrays

pytestmark = pytest.mark.tensorflow

TEXTS, Y = ["a", "b", "c", "d", "e"], np.arange(5)


def test_batches_of_texts_labels_and_weights():
    weights = np.linspace(0.0, 1.0, 5)
    dataset = raw_arrays.batched(TEXTS, Y, weights, 2, shuffle=False, lists=False)
    seen = list(dataset.as_numpy_iterator())
    assert [len(y) for _, y, _ in seen] == [2, 2, 1]
    assert [text for x, _, _ in seen for text in x.tolist()] == [b"a", b"b", b"c", b"d", b"e"]
    assert seen[0][2].dtype == "float32"  # as Keras takes arrays


def test_shuffled_rows_stay_together():
    x = {"left": Y * 10, "right": Y * 100}
    rows = [
        (left, right, y)
        for part, labels, _ in raw_arrays.batched(x, Y, None, 2, True, False)
        for left, right, y in zip(part["left"].numpy(), part["right"].numpy(), labels.numpy())
    ]
    assert sorted(rows) == [(10 * y, 100 * y, y) for y in Y]


def test_a_list_of_arrays_is_several_inputs_for_keras_alone():
    x = [np.zeros((5, 2)), np.ones((5, 3))]
    ((several, _, _),) = raw_arrays.batched(x, None, None, 5, False, True)
    assert [part.shape[1] for part in several] == [2, 3]
    with pytest.raises(ValueError, match=r"inhomogeneous|shape"):
        raw_arrays.batched(x, None, None, 5, False, False)


def test_the_last_share_is_held_out():
    (train, y, _), (held_out, held_y, _) = raw_arrays.split((TEXTS, Y, None), 0.4, False)
    assert train.numpy().tolist() == [b"a", b"b", b"c"]
    assert held_out.numpy().tolist() == [b"d", b"e"]
    assert (y.numpy().tolist(), held_y.numpy().tolist()) == ([0, 1, 2], [3, 4])


@pytest.mark.parametrize(
    ("parts", "error", "match"),
    [
        (((x for x in TEXTS), None), TypeError, "x must be data that a preprocessor"),
        ((TEXTS, Y[:3]), ValueError, r"the same number in each array.*Received: \[5, 3\]\."),
        (([], None), ValueError, "must hold at least one sample"),
        ((np.float32(3), None), ValueError, "x must hold a batch of examples"),
    ],
)
def test_what_is_no_data_is_refused(parts, error, match):
    with pytest.raises(error, match=match):
        raw_arrays.batched(*parts, None, 2, False, False)


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_both_sides_of_a_split_have_examples(share):
    with pytest.raises(ValueError, match="validation_split must leave examples on both sides"):
        raw_arrays.split((TEXTS, Y, None), share, False)
