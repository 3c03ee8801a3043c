"""One comparison, shown in every form."""

import json

import keras
import numpy as np
import pytest

from keras_kd import report


def test_one_object_in_every_form(tmp_path):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(7)])
    costs_given = report.Costs(teacher=400, labels=30, student=50, student_online=60)
    y = keras.utils.to_categorical(np.arange(50) % 7, 7)
    found = report.compare({"a<b|c": model}, x, y, costs=costs_given, latency=False)
    text = str(found)
    assert text == found.to_markdown()
    assert text.startswith("| Method | Parameters | Model size |   Top-1 |") or "a<b\\|c" in text
    assert "Latency" not in text
    assert "Stored labels pay after 3 trainings." in text
    page = found.to_html()
    assert page == found._repr_html_()
    assert '<td style="text-align: left">a&lt;b|c</td>' in page
    assert json.loads(found.to_json(tmp_path / "c.json"))["rows"][0]["top1"] == found.rows[0].top1
    assert json.loads((tmp_path / "c.json").read_text())["costs"]["labels"] == 30
    pandas = pytest.importorskip("pandas", exc_type=ImportError)
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.loc["a<b|c", "parameters"] == model.count_params()
