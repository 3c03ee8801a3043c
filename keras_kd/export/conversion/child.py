"""Starts the converter in a process of its own and says what went wrong there."""

import json
import sys
from pathlib import Path

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import message
from keras_kd.export.conversion import serving
from keras_kd.export.conversion.task import Task
from keras_kd.export.student.signature import Signature
from keras_kd.networks.models import not_made_again
from keras_kd.runtimes import worker
from keras_kd.runtimes.batching import Arrays

__all__ = ["CONVERTER", "hand_over", "run"]

_MOST_WORDS = 2000


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
        raise not_made_again("A student that was not trained on TensorFlow", error) from error


def run(folder: Path, task: Task, signature: Signature, calibration: Arrays | None = None) -> None:
    """Has the child do its task in `folder`.

    Args:
        folder: Where the student is, and where `model.tflite` is to be.
        task: What to do.
        signature: Holds the student.
        calibration: Samples by input name, for modes that are calibrated.

    Raises:
        RuntimeError: If the converter fails or its process dies.
    """
    if calibration is not None:
        np.savez(folder / "calibration.npz", *(calibration[name] for name in task.inputs))
    task.write(folder)
    try:
        # The user's own modules may have been edited since they were loaded.
        CONVERTER.ask({"folder": str(folder)}, fresh=bool(task.modules))
    except (worker.CrashError, worker.WorkerError) as error:
        raise RuntimeError(_failure(error, folder, task, signature.student)) from error


CONVERTER = worker.Worker(
    [sys.executable, "-m", "keras_kd.export.conversion._convert"],
    worker.environment,
    decisive="PYTHON|TF_|XLA_",
)


def _failure(
    error: worker.CrashError | worker.WorkerError, folder: Path, task: Task, student: keras.Model
) -> str:
    mend = "Replace the layer that these words name, if they name one"
    if isinstance(error, worker.WorkerError):
        received = f"an error, of which the last words are\n{error.traceback[-_MOST_WORDS:]}"
    else:
        received = f"it {error.how}" + f" and the last words\n{error.words}\n" * bool(error.words)
        mend = "Free memory, if it was killed" if error.signal else mend
    culprits, rolled = folder / "culprits.json", _rolled(student)
    if culprits.exists():
        found = json.loads(culprits.read_text())
        received = "; ".join(f"{op} in {', '.join(places)}" for op, places in found.items())
        received += _own_operations(student, found)
        mend = "Replace these layers by ones that have a built-in form"
    elif rolled:
        loop = "quantization='dynamic'" if task.batch_size else "a fixed batch_size"
        mend = (
            f"Build {', '.join(map(repr, rolled))} with unroll=True and the same weights, which "
            "writes out each step, so that many make a far larger file; or use "
            f"{loop}, which keeps the loop"
        )
    return message(
        "TensorFlow's converter must turn the model into built-in operators",
        expected="a .tflite file",
        received=received,
        mend=mend,
    )


def _own_operations(student: keras.Model, found: dict[str, list[str]]) -> str:
    """Names the operations of the model itself: functions of `keras.ops` leave no name."""
    graph, places = _keras.graph(student), {place for listed in found.values() for place in listed}
    if graph is None or all("/" in place for place in places):
        return ""
    operations = [node.operation for node in _keras.nodes(keras.tree.flatten(graph[1]))]
    names = [x.name for x in operations if not isinstance(x, keras.layers.Layer)]
    return f", which calls {', '.join(dict.fromkeys(names))}" if names else ""


def _rolled(student: keras.Model) -> list[str]:
    """Names the recurrent layers that loop; the converter cannot calibrate within a loop."""
    return [
        layer.name
        for layer in _keras.all_layers(student)
        if isinstance(layer, keras.layers.RNN) and not layer.unroll
    ]
