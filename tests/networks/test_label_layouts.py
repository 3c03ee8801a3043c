"""How labels lie beside outputs."""

import pytest

from keras_kd.networks.label_layouts import COLUMN, IDS, ROWS, layout


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
