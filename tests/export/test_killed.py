"""A process that is killed in the middle of an export leaves no partial file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_kd import export

SCRIPT = """
import sys
import keras
from keras_kd import export
from keras_kd.export.conversion import child

def run(folder, *_):
    (folder / "model.tflite").write_bytes(b"half")
    real(folder, *_)

real, child.run = child.run, run
x = keras.Input((4,))
export.tflite(keras.Model(x, keras.layers.Dense(2)(x)), sys.argv[1])
"""


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux' /proc")
def test_sigkill(tmp_path, cnn):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the last good one")
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)])
    try:
        wait_for(lambda: list(tmp_path.glob(".keras_kd-*/model.tflite")))
        wait_for(lambda: children_of(process.pid))
        (converter,) = children_of(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.read_bytes() == b"the last good one"
    wait_for(lambda: not os.path.exists(f"/proc/{converter}"))
    assert len(list(tmp_path.glob(".keras_kd-*"))) == 1
    export.saved_model(cnn, tmp_path / "student")
    assert sorted(os.listdir(tmp_path)) == ["student", "student.tflite"]
    assert path.read_bytes() == b"the last good one"
