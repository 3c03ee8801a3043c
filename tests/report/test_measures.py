"""What is measured while a model runs."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import report
from keras_kd.report import costs, measures
from keras_kd.report.contestants import contestant

_SHARED = Path(__file__).parents[3] / "shared" / "data" / "pretrained"
CORAL = _SHARED / "coral_imagenet" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"


def test_energy_is_read_or_said_to_be_unknown(three, tmp_path, monkeypatch):
    models, x = three
    monkeypatch.setattr(costs, "_POWERCAP", tmp_path / "none")
    found = report.compare({"Teacher": models["Teacher"]}, x, np.zeros(50), latency=False)
    assert found.rows[0].joules is None
    assert "Energy: not measurable here" in str(found)
    for number, name in enumerate(["psys", "package-0", "package-1"]):
        zone = tmp_path / f"intel-rapl:{number}"
        (zone / f"intel-rapl:{number}:0").mkdir(parents=True)
        (zone / "name").write_text(f"{name}\n")
        (zone / "max_energy_range_uj").write_text("1000000\n")
        (zone / "energy_uj").write_text("900000\n")
    monkeypatch.setattr(costs, "_POWERCAP", tmp_path)
    with report.spent() as taken:
        for number, energy in enumerate([990000, 970000, 100000]):  # the last has begun anew
            (tmp_path / f"intel-rapl:{number}" / "energy_uj").write_text(f"{energy}\n")
    assert taken.joules == pytest.approx(0.07 + 0.2)  # psys holds what the packages took
    assert taken.cpu_seconds >= 0


def test_probabilities_are_never_softmaxed():
    sharp = np.full((20, 1000), 0.3 / 999)
    sharp[np.arange(20), np.arange(20)] = 0.7
    rounded = np.round(256 * sharp) / 256  # as 8 bits keep them: rows add up to 0.7
    assert measures.probabilities(rounded).max(-1) == pytest.approx(1.0)
    assert measures.probabilities(0.95 * sharp) == pytest.approx(sharp)
    assert measures.probabilities(np.zeros((1, 4)))[0] == pytest.approx(0.25)
    yes = np.array([[0.9, 0.8, 0.1], [0.7, 0.1, 0.9]])
    assert (measures.probabilities(yes) == yes).all()
    half = np.array([[0.5, 0.1], [0.2, 0.2]])
    assert (measures.probabilities(half, head="sigmoid") == half).all()
    z = np.exp(half) / np.exp(half).sum(-1, keepdims=True)
    assert measures.probabilities(half, head="logits") == pytest.approx(z)
    with pytest.raises(ValueError, match="must give probabilities, numbers from 0 to 1"):
        measures.probabilities([[2.0, -1.0]], head="softmax")
    with pytest.raises(ValueError, match="head must be"):
        measures.probabilities(half, head="linear")


def test_heads_come_from_the_graph_and_the_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    y, hidden = np.arange(40) % 3, keras.layers.Dense(3, name="z")
    for end, of in (("sigmoid", lambda z: 1 / (1 + np.exp(-z))), ("softmax", None)):
        net = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Activation(end)])
        p = of(keras.ops.convert_to_numpy(hidden(x))) if of else net.predict(x, verbose=0)
        want = measures.calibration_error(p.astype("float64"), y)
        given = {"net": net}
        if keras.backend.backend() == "tensorflow":
            given["file"] = tmp_path / f"{end}.tflite"
            keras_kd.export.tflite(net, given["file"], verify=x)
        for row in report.compare(given, x, y, latency=False).rows:
            assert row.calibration_error == pytest.approx(want, abs=1e-4), row.method


@pytest.mark.skipif(not CORAL.is_file(), reason="needs ../shared/data/pretrained")
def test_a_quantised_softmax_of_1000_classes():
    pytest.importorskip("ai_edge_litert")
    assert contestant("coral", CORAL).head == "softmax"
