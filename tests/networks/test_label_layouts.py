"""How labels lie beside outputs."""

import numpy as np
import pytest

from keras_kd.networks.label_layouts import COLUMN, IDS, ROWS, class_ids, layout


@pytest.mark.parametrize(
    ("labels", "output", "expected"),
    [
        ((8,), (8, 3), IDS),
        ((8, 1), (8, 3), COLUMN),
        ((8, 3), (8, 3), ROWS),
        ((8, 1), (8, 1), ROWS),
        ((8,), (8, 1), IDS),
        ((8, 5), (8, 5, 3), IDS),
        ((8, 5, 1), (8, 5, 3), COLUMN),
        ((None, 3), (None, 3), ROWS),
        ((8, 1), (8, None), COLUMN),
        ((), (3,), IDS),
        ((3,), (3,), ROWS),
        ((8, 4), (8, 3), None),
        ((7,), (8, 3), None),
        ((8, 5), (8, 3, 3), None),
    ],
)
def test_layout(labels, output, expected):
    assert layout(labels, output) == expected


@pytest.mark.parametrize("rows", [[[-1, -1, -1]], [[0, 0, 0]], [[1, 1, 0]]])
def test_rows_of_no_class_or_several_are_no_ids(rows):
    with pytest.raises(ValueError, match="y must have one class in each row"):
        class_ids(np.array(rows), 1, 3)


def test_names_are_no_ids():
    with pytest.raises(ValueError, match="y must hold one label for each sample"):
        class_ids(np.array(["cat", "dog"]), 2, 3)
