"""What a benchmark keeps was measured, not made by the machine's pauses."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "interleaved.py"


@pytest.fixture(scope="module")
def interleaved():
    spec = importlib.util.spec_from_file_location("interleaved", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_multiples_of_one_number_are_found(interleaved):
    samples = [20.51, 20.52, 30.78, 20.53, 30.79, 20.5, 10.26, 41.05, 20.52]
    assert interleaved.quantum(samples) == pytest.approx(10.26)


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.02, 0.1, 0.5])
def test_measurements_are_none(interleaved, spread):
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert interleaved.quantum([*(2 + spread * rng.gamma(2, size=9))]) is None


def test_one_outlier_is_no_quantum(interleaved):
    assert interleaved.quantum([1.0, 1.001, 0.999, 1.002, 2.0, 1.001, 1.0, 0.998]) is None


def test_quanta_are_not_kept(interleaved, monkeypatch):
    now, lasts = [0.0], iter([9, 2, 3, 2, 3])

    def run():
        now[0] += next(lasts)

    monkeypatch.setattr(interleaved.time, "perf_counter", lambda: now[0])
    with pytest.raises(RuntimeError, match=r"system takes multiples of 1 s"):
        interleaved.measure({"system": run}, 4, progress=lambda line: None)


def test_quartiles_far_apart_are_said(interleaved):
    assert interleaved.far_apart([1, 1, 1, 1.5, 1.5, 1.5])
    assert not interleaved.far_apart([1, 1.01, 1.02, 1.03, 1.04, 1.05, 5])
    assert interleaved.summary([1.0, 2.0, 3.0])["samples"] == [1.0, 2.0, 3.0]
