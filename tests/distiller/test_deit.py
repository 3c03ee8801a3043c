"""The recipe for DeiT in the documentation runs and minimises what it says."""

import pathlib
import re

import keras
import numpy as np
import pytest

import keras_kd

LOSSES = pathlib.Path(__file__).parents[2] / "docs" / "losses.md"


def test_the_recipe_for_deit_runs(cross_entropy):
    text = LOSSES.read_text(encoding="utf-8")
    recipe = re.search(r"## DeiT.*?```python\n(.*?)```", text, re.DOTALL).group(1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 64)).astype("float32"), rng.integers(0, 10, 32)
    teacher = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    given = {"keras": keras, "keras_kd": keras_kd, "teacher": teacher, "cross_entropy": hard}
    names = {**given, "x": x, "y": y}
    # Frozen, so that the logs are those of the weights that are left.
    exec(recipe.replace('"adam"', "keras.optimizers.SGD(0.0)"), names)
    student, distiller = names["student"], names["distiller"]
    logs = distiller.fit(x, {"cls": y, "dist": y}, verbose=0).history
    heads = {name: np.asarray(head, "float64") for name, head in student(x).items()}
    labels = np.asarray(teacher(x)).argmax(-1)
    expected = cross_entropy(y, heads["cls"]).mean(), cross_entropy(labels, heads["dist"]).mean()
    assert logs["hard_loss"][0] == pytest.approx(expected[0], rel=1e-5)
    assert logs["dist_hard_labels"][0] == pytest.approx(expected[1], rel=1e-5)
    assert logs["loss"][0] == pytest.approx(0.5 * sum(expected), rel=1e-5)
    mean = np.mean([np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in heads.values()], axis=0)
    np.testing.assert_allclose(names["deit"].predict(x, verbose=0), mean, rtol=1e-5)
