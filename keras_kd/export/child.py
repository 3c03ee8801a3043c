"""Starts the converter in a process of its own and says what went wrong there."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from keras_kd._errors import message
from keras_kd.export.signature import Arrays

_STDERR_TAIL = 2000


@dataclass(frozen=True)
class Job:
    """What `_convert` reads from `job.json`.

    Args:
        quantization: A key of `modes.MODES`.
        io_dtype: Dtype of float inputs and outputs, `None` for no change.
        batch_size: Samples in one calibration batch.
        inputs: The inputs' names, in the order of the calibration arrays.
    """

    quantization: str
    io_dtype: str | None
    batch_size: int
    inputs: list[str]


def run(folder: Path, job: Job, calibration: Arrays | None) -> Path:
    """Converts `folder / "saved_model"` and returns the `.tflite` file's path.

    Args:
        folder: Where the SavedModel is and the file is to be.
        job: What to do.
        calibration: Samples by input name, for modes that are calibrated.

    Raises:
        RuntimeError: If the converter fails or its process dies.
    """
    if calibration is not None:
        np.savez(folder / "calibration.npz", *(calibration[name] for name in job.inputs))
    (folder / "job.json").write_text(json.dumps(asdict(job)))
    done = subprocess.run(
        [sys.executable, "-m", "keras_kd.export._convert", str(folder)],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(_failure(done.returncode, done.stderr))
    return folder / "model.tflite"


def _environment() -> dict[str, str]:
    import keras_kd

    package = str(Path(keras_kd.__file__).parents[1])
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
        # The caller's own rules, such as "error", are not meant for TensorFlow's converter.
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _failure(code: int, stderr: str) -> str:
    died = f"it died of {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return message(
        "TensorFlow's converter must turn the model into built-in operators",
        expected="a .tflite file",
        received=f"{died} and the last words\n{stderr[-_STDERR_TAIL:].strip()}\n",
        mend=(
            "Replace the layers that have no built-in form, build LSTM and GRU layers with "
            "unroll=True, or, if it was killed, free memory"
        ),
    )
