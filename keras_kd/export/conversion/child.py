"""Starts the converter in a process of its own and says what went wrong there."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import message
from keras_kd.export.conversion import serving
from keras_kd.export.student.signature import Arrays, Signature

_STDERR_TAIL = 2000
_NOISE = re.compile(r"^(WARNING: All log messages before|[IW]\d{4} ).*\n?", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """What `_convert` reads from `job.json`.

    Args:
        quantization: A key of `modes.MODES`, or `None` to write the SavedModel only.
        io_dtype: Dtype of float inputs and outputs, `None` for no change.
        batch_size: Samples in one invocation, `None` for any number.
        inputs: The inputs' names, in the order of the calibration arrays.
        calibrated: Whether calibration samples are there.
        modules: Modules to import before the student is loaded, for its own layers.
    """

    quantization: str | None
    io_dtype: str | None
    batch_size: int | None
    inputs: list[str]
    calibrated: bool
    modules: list[str]

    @classmethod
    def of(
        cls,
        signature: Signature,
        quantization: str | None = None,
        io_dtype: str | None = None,
        calibrated: bool = False,
    ) -> "Job":
        """Takes from the signature what the child is to know of it."""
        names = [tensor.name for tensor in signature.inputs]
        modules = _modules(signature.student)
        return cls(quantization, io_dtype, signature.batch_size, names, calibrated, modules)


def hand_over(signature: Signature, folder: Path) -> None:
    """Puts the student into `folder`: as `saved_model/`, or off TensorFlow as `student.keras`.

    Raises:
        ValueError: If the student cannot be traced or saved.
    """
    if keras.backend.backend() == "tensorflow":
        serving.write(signature, folder / "saved_model")
        return
    try:
        signature.student.save(folder / "student.keras")
    except Exception as error:
        raise ValueError(
            message(
                "A student that was not trained on TensorFlow must be one that Keras can save",
                expected="layers with get_config and from_config",
                received=str(error),
                mend="Give your layers get_config and @keras.saving.register_keras_serializable",
            )
        ) from error


def run(folder: Path, job: Job, signature: Signature, calibration: Arrays | None = None) -> None:
    """Has the child do its job in `folder`.

    Args:
        folder: Where the student is, and where `model.tflite` is to be.
        job: What to do.
        signature: Holds the student.
        calibration: Samples by input name, for modes that are calibrated.

    Raises:
        RuntimeError: If the converter fails or its process dies.
    """
    if calibration is not None:
        np.savez(folder / "calibration.npz", *(calibration[name] for name in job.inputs))
    (folder / "job.json").write_text(json.dumps(asdict(job)))
    # Nothing comes through the pipe but its end, which tells the child that this process died.
    theirs, ours = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "keras_kd.export.conversion._convert", str(folder)],
            stdin=theirs,
            cwd=folder,
            env=_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    finally:
        os.close(theirs)
        os.close(ours)
    if done.returncode != 0:
        raise RuntimeError(_failure(done.returncode, done.stderr, folder, signature.student))


def _modules(student: keras.Model) -> list[str]:
    names = {type(layer).__module__ for layer in _keras.all_layers(student)}
    return sorted(name for name in names if name.split(".")[0] not in ("keras", "__main__"))


def _environment() -> dict[str, str]:
    import keras_kd

    package = str(Path(keras_kd.__file__).parents[1])
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        # Absolute, as the child works in another folder: "" stands for this one.
        "PYTHONPATH": os.pathsep.join([package, *map(os.path.abspath, [*given, *sys.path])]),
        # The caller's own rules, such as "error", are not meant for TensorFlow's converter.
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _failure(code: int, stderr: str, folder: Path, student: keras.Model) -> str:
    died = f"it died of {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    words = _NOISE.sub("", stderr)[-_STDERR_TAIL:].strip()
    received = f"{died} and the last words\n{words}\n" if words else died
    mend = "Replace the layer that these words name, if they name one"
    if code < 0:
        mend = "Free memory, if it was killed"
    culprits, rolled = folder / "culprits.json", _rolled(student)
    if culprits.exists():
        found = json.loads(culprits.read_text())
        received = "; ".join(f"{op} in {', '.join(places)}" for op, places in found.items())
        mend = "Replace these layers by ones that have a built-in form"
    elif rolled:
        mend = f"Build {', '.join(map(repr, rolled))} with unroll=True and the same weights"
    return message(
        "TensorFlow's converter must turn the model into built-in operators",
        expected="a .tflite file",
        received=received,
        mend=mend,
    )


def _rolled(student: keras.Model) -> list[str]:
    """Names the recurrent layers that loop; the converter cannot calibrate within a loop."""
    return [
        layer.name
        for layer in _keras.all_layers(student)
        if isinstance(layer, keras.layers.RNN) and not layer.unroll
    ]
