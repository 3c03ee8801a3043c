import doctest

import numpy as np
import pytest

from keras_kd import report
from keras_kd.report import comparison

ROWS = [
    report.Row("teacher", parameters=289_066, bytes=1_163_512, top1=0.985),
    report.Row("student", parameters=524, bytes=4_328, top1=0.90),
    report.Row("distilled", parameters=524, bytes=4_328, top1=0.93125),
    report.Row("distilled int8", parameters=524, bytes=3_704, top1=1.0),
]


def test_table_is_aligned_markdown():
    assert report.table(ROWS) == (
        "| Method         | Parameters | Model size |    Top-1 |\n"
        "| :------------- | ---------: | ---------: | -------: |\n"
        "| teacher        |    289,066 |     1.2 MB |  98.50 % |\n"
        "| student        |        524 |     4.3 kB |  90.00 % |\n"
        "| distilled      |        524 |     4.3 kB |  93.12 % |\n"
        "| distilled int8 |        524 |     3.7 kB | 100.00 % |"
    )


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (94_400, "94.4 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (4_150_000, "4.2 MB"),
        (2_000_000_000, "2.0 GB"),
    ],
)
def test_sizes_are_decimal(size, shown):
    line = report.table([report.Row("m", parameters=1, bytes=size, top1=0.5)]).splitlines()[2]
    assert line.split("|")[3].strip() == shown


def test_a_bar_in_a_name_stays_in_its_cell():
    line = report.table([report.Row("a|b", parameters=1, bytes=1, top1=0.5)]).splitlines()[2]
    assert line.startswith("| a\\|b ")


def test_numpy_numbers_serve():
    row = report.Row("m", parameters=np.int64(7), bytes=np.int64(8), top1=np.float32(0.25))
    cells = report.table([row]).splitlines()[2].replace(" ", "")
    assert cells == "|m|7|8B|25.00%|"


def test_table_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"rows must hold .* Expected: at least one Row"):
        report.table([])


@pytest.mark.parametrize("top1", [93.5, -0.1, float("nan"), float("inf")])
def test_row_wants_a_share(top1):
    with pytest.raises(ValueError, match=r"top1 must be a share .* Divide a percentage by 100"):
        report.Row("student", parameters=1, bytes=1, top1=top1)


def test_top1_counts_right_answers():
    assert report.top1(np.eye(4)[[0, 1, 2, 2]], [0, 1, 2, 3]) == 0.75


@pytest.mark.parametrize("shape", [(4, 4), (3,), (4, 1)])
def test_top1_wants_class_numbers(shape):
    words = r"same samples. Expected: .* labels \(samples,\). Received: outputs \(4, 4\)"
    with pytest.raises(ValueError, match=words):
        report.top1(np.eye(4), np.zeros(shape))


def test_doctests():
    assert doctest.testmod(comparison, extraglobs={"report": report}) == (0, 3)
