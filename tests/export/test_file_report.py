import dataclasses
import gzip
import json

import pytest

from keras_kd.export import Report, TensorInfo
from keras_kd.export.file_report import measure, sizes


def test_sizes_of_a_file_and_a_folder(tmp_path):
    contents = [b"a" * 1000, bytes(range(256))]
    (tmp_path / "sub").mkdir()
    (tmp_path / "one").write_bytes(contents[0])
    (tmp_path / "sub" / "two").write_bytes(contents[1])
    zipped = [len(gzip.compress(content)) for content in contents]
    assert sizes(tmp_path / "one") == {"bytes": 1000, "gzip_bytes": zipped[0]}
    assert sizes(tmp_path) == {"bytes": 1256, "gzip_bytes": sum(zipped)}


def test_measure_warms_up_and_takes_percentiles(monkeypatch):
    clock = iter(x / 1000 for i in range(100) for x in (i * 1000, i * 1000 + i + 1))
    monkeypatch.setattr("keras_kd.export.file_report.time.perf_counter", lambda: next(clock))
    calls = []
    latency = measure(lambda: calls.append(1), 2)
    assert len(calls) == 5 + 45  # 1 + 2 + ... + 45 ms are the first to exceed a second
    assert latency.latency_ms == pytest.approx(23.0)
    assert latency.latency_p95_ms == pytest.approx(1 + 44 * 0.95)
    assert latency.threads == 2
    assert latency.machine.endswith("(not a phone)")


def test_a_report_reads_as_a_table_and_saves_as_json(tmp_path):
    report = Report(
        path="student.tflite",
        format="tflite",
        quantization="int8",
        bytes=93700,
        gzip_bytes=71249,
        operators={"CONV_2D": 4, "SOFTMAX": 1},
        float_operators={"NEG": 1},
        inputs=(TensorInfo("image", (1, 28, 28, 1), "uint8", 1 / 255, 0),),
        outputs=(TensorInfo("output_0", (1, 10), "float32"),),
        calibration_samples=200,
        relative_error=0.0312,
        argmax_agreement=0.992,
        samples=100,
        spread_error=0.0841,
        tolerance=0.15,
        reference_error=0.0334,
        reference_samples=32,
        accuracy_before=0.8719,
        accuracy_after=0.8702,
        accuracy_output="classes",
        latency_ms=0.2149,
        latency_p95_ms=0.35,
        threads=2,
        machine="A CPU (not a phone)",
    )
    assert str(report).splitlines() == [
        "file       student.tflite",
        "format     tflite int8",
        "size       93.7 kB, gzip 71.2 kB",
        "input      image (1, 28, 28, 1) uint8, scale 0.00392157, zero point 0",
        "output     output_0 (1, 10) float32",
        "operators  CONV_2D 4, SOFTMAX 1",
        "in float   NEG 1",
        "calibrated 200 samples",
        "error      0.031 relative RMS (allowed 0.15); 0.033 with the reference kernels",
        "spread     0.084 is the error by the spread of Keras' answers",
        "argmax     99.2% agree with Keras",
        "samples    100",
        "accuracy   87.02%, Keras 87.19%",
        "latency    0.215 ms, p95 0.35 ms",
        "threads    2",
        "machine    A CPU (not a phone)",
    ]
    report.save(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved == json.loads(json.dumps(dataclasses.asdict(report)))
    assert saved["inputs"][0]["name"] == "image"
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.bytes = 1
    folder = dataclasses.replace(
        report,
        quantization=None,
        operators={},
        float_operators={},
        calibration_samples=0,
        spread_error=None,
        reference_error=None,
        accuracy_before=None,
        threads=None,
    )
    for row in (
        "operators",
        "in float",
        "calibrated",
        "spread",
        "reference",
        "accuracy",
        "threads",
    ):
        assert row not in str(folder)
    assert str(folder).splitlines()[1] == "format     tflite"
