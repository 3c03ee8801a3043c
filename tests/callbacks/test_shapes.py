import doctest
import math

import pytest

import keras_kd
from keras_kd.callbacks import shapes


def test_lines_and_waves_end_exactly():
    line, wave = shapes.linear(0.1, 0.9, over=3), shapes.cosine(4.0, 1.0, over=3)
    for count in range(-1, 6):
        share = min(max(count / 3, 0), 1)
        assert line(count) == pytest.approx(0.1 + 0.8 * share, rel=1e-12)
        assert wave(count) == pytest.approx(1 + 1.5 * (1 + math.cos(math.pi * share)), rel=1e-12)
    assert (line(3), wave(3)) == (0.9, 1.0)


def test_examples():
    results = doctest.testmod(shapes, extraglobs={"keras_kd": keras_kd})
    assert results.attempted
    assert not results.failed


@pytest.mark.parametrize(
    ("build", "error", "match"),
    [
        (lambda: shapes.linear("a", 1.0, 3), TypeError, "start must be a finite number"),
        (lambda: shapes.linear(0.0, float("inf"), 3), ValueError, "end must be a finite number"),
        (lambda: shapes.cosine(0.0, 1.0, 0), ValueError, "over must be an integer"),
        (lambda: shapes.step({1: 0.5}), ValueError, "values must say from which count"),
        (lambda: shapes.step([0.5]), TypeError, "values must say from which count"),
    ],
)
def test_wrong_use(build, error, match):
    with pytest.raises(error, match=match):
        build()
