"""What is measured while a model runs."""

import numpy as np
import pytest

from keras_kd import report
from keras_kd.report import costs


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
