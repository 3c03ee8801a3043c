import json
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import report
from keras_kd.report import costs, measures
from keras_kd.report.mac_counts import file_macs, macs

PRETRAINED = Path(__file__).parents[3] / "shared" / "data" / "pretrained"


@pytest.fixture(scope="module")
def three():
    keras.utils.set_random_seed(0)

    def net(width, activation=None):
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(width, activation="relu", bias_initializer="normal"),
                keras.layers.Dense(7, activation=activation, bias_initializer="normal"),
            ]
        )

    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    teacher = net(32)
    return {"Teacher": teacher, "Student": net(4), "Distilled": net(4, "softmax")}, x


def test_all_figures_against_their_formulas(three, tmp_path):
    models, x = three
    path = tmp_path / "s.tflite"
    keras_kd.export.tflite(models["Distilled"], path, verify=x)
    y = models["Teacher"].predict(x, verbose=0).argmax(-1)
    found = report.compare({**models, "file": path}, x, y)
    rows = {row.method: row for row in found.rows}
    for name, model in models.items():
        z = model.predict(x, verbose=0).astype("float64")
        p = z if name == "Distilled" else np.exp(z) / np.exp(z).sum(-1, keepdims=True)
        row, best = rows[name], np.argsort(-p, -1)
        assert row.top1 == row.agreement == np.mean(best[:, 0] == y)
        assert row.top5 == np.mean([label in b[:5] for label, b in zip(y, best)])
        error = sum(
            abs(np.sum((best[:, 0] == y)[bin_]) - np.sum(p.max(-1)[bin_]))
            for n in range(15)
            for bin_ in [(p.max(-1) > n / 15) & (p.max(-1) <= (n + 1) / 15)]
        )
        assert row.calibration_error == pytest.approx(error / 50, abs=1e-6)
        assert row.parameters == model.count_params()
        assert row.bytes == 4 * model.count_params()
    assert rows["Teacher"].macs == 4 * 32 + 32 * 7
    assert rows["file"].macs == rows["Distilled"].macs == 4 * 4 + 4 * 7
    assert rows["file"].bytes == path.stat().st_size
    assert rows["file"].parameters == models["Distilled"].count_params()
    gap = (rows["Distilled"].top1 - rows["Student"].top1) / (1 - rows["Student"].top1)
    assert rows["Distilled"].gap_closed == pytest.approx(gap)
    assert rows["Teacher"].gap_closed is rows["Student"].gap_closed is None
    assert rows["file"].top1 == rows["Distilled"].top1
    assert all(row.latency_ms > 0 for row in found.rows)


def test_one_object_in_every_form(three, tmp_path):
    models, x = three
    costs_given = report.Costs(teacher=400, labels=30, student=50, student_online=60)
    y = keras.utils.to_categorical(np.arange(50) % 7, 7)
    found = report.compare({"a<b|c": models["Teacher"]}, x, y, costs=costs_given, latency=False)
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
    assert frame.loc["a<b|c", "parameters"] == models["Teacher"].count_params()


def test_energy_is_read_or_said_to_be_unknown(three, tmp_path, monkeypatch):
    models, x = three
    monkeypatch.setattr(costs, "_POWERCAP", tmp_path / "none")
    found = report.compare({"Teacher": models["Teacher"]}, x, np.zeros(50), latency=False)
    assert found.rows[0].joules is None
    assert "Energy: not measurable here" in str(found)
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "max_energy_range_uj").write_text("1000000\n")
    (zone / "energy_uj").write_text("900000\n")
    monkeypatch.setattr(costs, "_POWERCAP", tmp_path)
    with report.spent() as taken:
        (zone / "energy_uj").write_text("100000\n")  # it has begun anew
    assert taken.joules == pytest.approx(0.2)
    assert taken.cpu_seconds >= 0


def test_when_stored_labels_pay():
    def pays(labels, online):
        return report.Costs(teacher=1, labels=labels, student=10, student_online=online).pays_after

    assert [pays(30, 40), pays(31, 40), pays(90, 40), pays(30, 10)] == [1, 2, 3, None]
    assert report.Costs(teacher=1, labels=1, student=1).pays_after is None
    with pytest.raises(ValueError, match="labels must be a finite number at least 0"):
        report.Costs(teacher=1, labels=-1, student=1)


def test_macs_of_mobilenet_v2():
    model = keras.applications.MobileNetV2(weights=None)
    assert macs(model) == pytest.approx(300e6, rel=0.01)


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="needs ../shared/data/pretrained")
def test_macs_of_resnet8_and_of_files():
    folder = PRETRAINED / "mlperf_tiny"
    model = keras.models.load_model(folder / "pretrainedResnet.h5", compile=False)
    assert macs(model) == pytest.approx(12.5e6, rel=0.01)
    for name in ("pretrainedResnet.tflite", "pretrainedResnet_quant.tflite"):
        assert file_macs((folder / name).read_bytes()) == macs(model)
    coral = PRETRAINED / "coral_imagenet" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
    assert file_macs(coral.read_bytes()) == pytest.approx(300e6, rel=0.01)


def test_macs_of_other_layers():
    layers = keras.layers
    for layer, shape, want in [
        (layers.SeparableConv2D(6, 3), (8, 8, 2), 36 * (9 * 2 + 2 * 6)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 3), 36 * 9 * 6),
        (layers.Conv2DTranspose(5, 3, strides=2), (4, 4, 2), 16 * 9 * 2 * 5),
        (layers.Conv1D(4, 3, groups=2), (10, 2), 8 * 3 * 1 * 4),
        (layers.LSTM(4), (5, 3), 5 * (3 * 16 + 4 * 16)),
        (layers.Bidirectional(layers.GRU(4)), (5, 3), 2 * 5 * (3 * 12 + 4 * 12)),
        (layers.TimeDistributed(layers.Dense(2)), (5, 3), 5 * 6),
        (layers.EinsumDense("abc,cd->abd", (5, 2)), (5, 3), 5 * 6),
        (layers.Dense(2), (5, 3), 5 * 6),
        (layers.BatchNormalization(), (4,), 0),
    ]:
        assert macs(keras.Sequential([keras.Input(shape), layer])) == want, layer
    x = keras.Input((6, 8))
    attended = layers.MultiHeadAttention(2, 4)(x, x)
    assert macs(keras.Model(x, attended)) == 4 * 6 * 64 + 2 * 6 * 6 * 8
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    y = keras.Input((8,))
    assert macs(keras.Model(y, inner(y) + inner(y))) == 48
    assert macs(keras.Sequential([keras.Input((None, 3)), layers.Dense(2)])) is None

    class Own(layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(3, 3))

        def call(self, x):
            return x

    assert macs(keras.Sequential([keras.Input((3,)), Own()])) is None


def test_wrong_use(three, tmp_path):
    models, x = three
    y = np.zeros(50)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    wide = keras.Sequential([keras.Input((5,)), keras.layers.Dense(7)])
    two = keras.Input((4,))
    two = keras.Model(two, [keras.layers.Dense(7)(two), keras.layers.Dense(7)(two)])
    for given, data, error, match in [
        ({}, (x, y), ValueError, "models must name what is compared"),
        ([other], (x, y), TypeError, "models must name what is compared"),
        ({"a": 3}, (x, y), TypeError, r"models\['a'\] must be what can be asked"),
        ({"a": "no.tflite"}, (x, y), ValueError, r"models\['a'\] must be a file that is there"),
        ({"a": models["Teacher"], "b": other}, (x, y), ValueError, "same classes.*'b': 3"),
        ({"a": wide}, (x, y), ValueError, r"x must fit models\['a'\]"),
        ({"a": two}, (x, y), ValueError, r"models\['a'\] must have one output.*2 outputs"),
        ({"a": models["Teacher"]}, (x[:0], y[:0]), ValueError, "x must hold at least one sample"),
        ({"a": models["Teacher"]}, (x, y[:9]), ValueError, "y must hold one label for each"),
        ({"a": models["Teacher"]}, (x, y + 7), ValueError, "y must hold ids of .*7.0 to 7.0"),
        ({"a": models["Teacher"]}, (x, y - 1), ValueError, "y must hold ids of the models'"),
    ]:
        with pytest.raises(error, match=match):
            report.compare(given, *data)
    with pytest.raises(ValueError, match="teacher must be one of the models"):
        report.compare({"a": models["Teacher"]}, x, y, teacher="b")
    with pytest.raises(ValueError, match="NaN or Inf"):
        measures.probabilities([[np.nan, 1.0]])
