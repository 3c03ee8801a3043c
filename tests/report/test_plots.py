import numpy as np
import pytest

from keras_kd import report
from keras_kd.report import plots

pytest.importorskip("matplotlib", reason="matplotlib is not installed", exc_type=ImportError)
RNG = np.random.default_rng(0)


def test_every_picture_can_be_saved(tmp_path):
    logits, y = RNG.normal(size=(40, 4)), np.arange(40) % 4
    rows = [
        report.Measured(name, 9, size, 0.5, None, None, 1.0, 0.0, None, None, None)
        for name, size in (("teacher", 10**6), ("function", None), ("student", 10**4))
    ]
    comparison = report.Comparison(tuple(rows), (), None, 40)
    for number, figure in enumerate(
        [
            plots.learning_curves({"loss": [1.0, 0.5], "val_loss": [1.0], "accuracy": [0.1, 0.2]}),
            plots.learning_curves({"loss": [1.0], "temperature": [4.0]}, dark=True),
            plots.accuracy_against_size(comparison),
            plots.class_similarity(logits, y, "abcd", dark=True),
            plots.flipped(RNG.uniform(size=(40, 5, 5)), y, logits, np.eye(4)[y] * 9),
            plots.flipped(RNG.uniform(size=(40, 5, 5, 3)), y, logits, logits),
        ]
    ):
        figure.savefig(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").stat().st_size > 1000


def test_similarity_is_the_share_of_what_is_left():
    soft = np.array([[0.8, 0.15, 0.05], [0.2, 0.7, 0.1], [0.25, 0.25, 0.5]])
    want = [[0, 0.75, 0.25], [2 / 3, 0, 1 / 3], [0.5, 0.5, 0]]
    np.testing.assert_allclose(plots.similarity(soft, [0, 1, 2]), want)


def test_wrong_use():
    logits = RNG.normal(size=(6, 3))
    row = report.Measured("function", None, None, 0.5, None, None, 1.0, 0.0, None, None, None)
    for call in (
        lambda: plots.accuracy_against_size(report.Comparison((row,), (), None, 40)),
        lambda: plots.learning_curves({}),
        lambda: plots.similarity(logits, np.zeros(6, int)),
        lambda: plots.class_similarity(logits, np.arange(6) % 3, ["a"]),
        lambda: plots.flipped(np.zeros((5, 2, 2)), np.zeros(6), logits, logits),
    ):
        with pytest.raises(ValueError, match="must hold what the picture shows"):
            call()
