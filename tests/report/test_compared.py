import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import SoftLabels, report, teachers
from keras_kd.report import measures


def test_all_figures_against_their_formulas(three, tmp_path):
    pytest.importorskip("tensorflow")  # which exports the file
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


def test_wrong_use(three, tmp_path):
    models, x = three
    y = np.zeros(50)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    wide = keras.Sequential([keras.Input((5,)), keras.layers.Dense(7)])
    two = keras.Input((4,))
    two = keras.Model(two, [keras.layers.Dense(7)(two), keras.layers.Dense(7)(two)])
    for given, data, error, match in [
        ({}, (x, y), ValueError, "models must be a dict of at least one model"),
        ([other], (x, y), TypeError, "models must be a dict of at least one model"),
        ({"a": 3}, (x, y), TypeError, r"models\['a'\] must be what can be asked"),
        (
            {"a": "no.tflite"},
            (x, y),
            ValueError,
            r"models\['a'\] must be a .tflite file that is there",
        ),
        ({"a": models["Teacher"], "b": other}, (x, y), ValueError, "number of classes.*'b': 3"),
        ({"a": wide}, (x, y), ValueError, r"x must fit models\['a'\]"),
        ({"a": two}, (x, y), ValueError, r"models\['a'\] must have one output.*2 outputs"),
        ({"a": models["Teacher"]}, (x[:0], y[:0]), ValueError, "x must hold at least one sample"),
        ({"a": models["Teacher"]}, (x, y[:9]), ValueError, "y must hold one label for each"),
        ({"a": models["Teacher"]}, (x, y + 7), ValueError, "y must hold ids of .*7.0 to 7.0"),
        ({"a": models["Teacher"]}, (x, y - 2), ValueError, "y must hold ids of the models'"),
        ({"a": models["Teacher"]}, (x, y - 1), ValueError, "x must hold at least one sample"),
    ]:
        with pytest.raises(error, match=match):
            report.compare(given, *data)
    with pytest.raises(ValueError, match="teacher must be one of the models"):
        report.compare({"a": models["Teacher"]}, x, y, teacher="b")
    with pytest.raises(ValueError, match="NaN or Inf"):
        measures.probabilities([[np.nan, 1.0]])
    with pytest.raises(ValueError, match=r"must not be in percent.*Divide them by 100"):
        measures.probabilities([[90.0, 10.0], [0.0, 100.0]])


def test_samples_without_a_label_are_left_out(three):
    models, x = three
    y = np.arange(50) % 7
    rows = np.where(np.arange(50)[:, None] < 20, -1, np.eye(7)[y])
    whole = report.compare(models, x[20:], y[20:], latency=False)
    for labels in (np.where(np.arange(50) < 20, -1, y), rows):
        found = report.compare(models, x, labels, latency=False)
        assert (found.rows, found.samples) == (whole.rows, 30)
        assert "20 of 50 samples have no label: left out." in str(found)


def test_teachers_of_every_kind_are_compared(three):
    models, x = three
    teacher, student, _ = models.values()
    y = np.arange(50) % 7

    def probabilities(x):
        z = student.predict(x, verbose=0)
        return np.exp(z) / np.exp(z).sum(-1, keepdims=True)

    given = {
        "Teacher": [teacher, student],
        "function": teachers.Function(probabilities, head="softmax"),
        "student": student,
        "logits": teachers.KerasModel(teacher),
    }
    found = report.compare(given, x, y)
    rows = {row.method: row for row in found.rows}
    for name in ("top1", "agreement", "top5"):
        assert getattr(rows["function"], name) == getattr(rows["student"], name)
    assert (rows["function"].parameters, rows["function"].bytes) == (None, None)
    both = teacher.count_params() + student.count_params()
    assert (rows["Teacher"].parameters, rows["Teacher"].bytes) == (both, 4 * both)
    mean = (probabilities(x) + measures.probabilities(teacher.predict(x, verbose=0))) / 2
    assert rows["Teacher"].top1 == np.mean(mean.argmax(-1) == y)
    error = measures.calibration_error(mean, y, 15)
    assert rows["Teacher"].calibration_error == pytest.approx(error, abs=1e-6)
    assert all(row.latency_ms > 0 for row in found.rows)
    assert "| function |          - |" in str(found)


def test_a_teacher_of_several_labels_answers_with_sigmoids(three):
    models, x = three
    own = keras.Sequential([models["Teacher"], keras.layers.Activation("sigmoid")])
    given = {"a": own, "b": teachers.KerasModel(own)}
    a, b = report.compare(given, x, np.arange(50) % 7, latency=False).rows
    assert (a.top1, a.agreement) == (b.top1, b.agreement)
    assert a.calibration_error == pytest.approx(b.calibration_error, abs=1e-6)


def test_models_that_cannot_be_asked_are_refused(three, tmp_path):
    models, x = three
    unbuilt = keras.Sequential([keras.layers.Dense(7)])
    stored = SoftLabels.write(tmp_path / "answers", teacher=models["Teacher"], data=x, verbose=0)
    for given, error, match in [
        (unbuilt, ValueError, r"models\['a'\] must be built"),
        (stored, TypeError, r"models\['a'\] must be a model that can be asked"),
    ]:
        with pytest.raises(error, match=match):
            report.compare({"a": given}, x, np.zeros(50))


def test_a_teacher_is_shown_what_it_makes_of_raw_data(three):
    models, x = three
    asked = teachers.KerasModel(models["Teacher"])
    asked.model.preprocess_samples = lambda x: x[..., ::-1]
    try:
        found = report.compare({"a": asked}, x, np.zeros(50), latency=False)
    finally:
        del asked.model.preprocess_samples
    want = models["Teacher"].predict(x[..., ::-1], verbose=0).argmax(-1)
    assert found.rows[0].top1 == np.mean(want == 0)


def test_a_teacher_whose_head_is_not_known_is_refused(three):
    _, x = three

    class Net(keras.Model):
        def call(self, x):
            return keras.ops.softmax(x)

    net = Net()
    net(x)
    for given in (teachers.KerasModel(net), [net, net], teachers.Function(lambda x: x)):
        with pytest.raises(ValueError, match=r"The head of models\['a'\] must be known"):
            report.compare({"a": given}, x, np.zeros(50))
    report.compare({"a": teachers.KerasModel(net, head="softmax")}, x, np.zeros(50), latency=False)
