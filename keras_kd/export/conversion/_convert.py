"""The process that converts students: `python -m keras_kd.export.conversion._convert`.

A process of its own, as TensorFlow's converter can end in a segmentation fault, and as a student
may have been trained on another backend. It is asked for one folder after the other, see `child`.
A folder holds a `task.Task`, the student as `saved_model/` or
`student.keras`, and for calibrated modes `calibration.npz`. `saved_model/` and `model.tflite`
are added, or, if operators are missing, `culprits.json`.
"""

import importlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd.export.conversion import saved_graph
from keras_kd.export.conversion.modes import MODES
from keras_kd.export.conversion.task import Task
from keras_kd.runtimes import _messages
from keras_kd.runtimes.endpoint import ENDPOINT

_CALIBRATION_BATCH = 100


def convert(folder: Path) -> bytes:
    """Converts the SavedModel in `folder` as its task says, with built-in operators only."""
    import tensorflow as tf

    task = Task.read(folder)
    mode = MODES[task.quantization]
    saved_graph.without_negative_zeros(folder / "saved_model")
    if mode.without_squared_difference:
        saved_graph.split_squared_differences(folder / "saved_model")
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder / "saved_model"), signature_keys=[ENDPOINT]
    )
    # Quantisation-aware students bring the ranges, and the converter asks for samples nevertheless.
    aware = mode.calibrated and not task.calibrated
    ops = ("TFLITE_BUILTINS",) if aware else mode.ops
    converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, name) for name in ops]
    if mode.optimized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode.weight_type:
        converter.target_spec.supported_types = [tf.as_dtype(mode.weight_type)]
    if task.calibrated:
        converter.representative_dataset = representative_dataset(
            folder / "calibration.npz", task.inputs, task.batch_size
        )
    if task.io_dtype:
        converter.inference_input_type = tf.as_dtype(task.io_dtype)
        converter.inference_output_type = tf.as_dtype(task.io_dtype)
    return converter.convert()


def representative_dataset(
    file: Path, names: list[str], batch_size: int | None
) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    """Returns what the converter calls for batches of calibration samples by input name."""
    with np.load(file, allow_pickle=False) as stored:
        arrays = [stored[f"arr_{position}"] for position in range(len(names))]
    size = batch_size or min(_CALIBRATION_BATCH, len(arrays[0]))

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(arrays[0]), size):
            # The last batch reaches back: repeated samples do not change a range.
            rows = np.arange(start, start + size) % len(arrays[0])
            yield {name: array[rows] for name, array in zip(names, arrays)}

    return batches


def write_saved_model(folder: Path) -> None:
    """Loads the student on TensorFlow and writes its SavedModel."""
    import keras

    from keras_kd.export.conversion import serving
    from keras_kd.export.student.signature import Signature

    task = Task.read(folder)
    for module in task.modules:
        importlib.import_module(module)
    student = keras.models.load_model(folder / "student.keras", compile=False)
    serving.write(Signature.of(student, task.batch_size), folder / "saved_model")


def main(folder: Path) -> None:
    """Does the task in `folder`, and names what stands in its way."""
    if not (folder / "saved_model").exists():
        write_saved_model(folder)
    if Task.read(folder).quantization is None:
        return
    try:
        content = convert(folder)
    except Exception as error:
        culprits = saved_graph.places(folder / "saved_model", _missing_operators(str(error)))
        if culprits:
            (folder / "culprits.json").write_text(json.dumps(culprits))
        raise
    (folder / "model.tflite").write_bytes(content)


def _missing_operators(error: str) -> set[str]:
    return set(re.findall(r"^\s*tf\.(\w+)\(", error, re.MULTILINE))


def _answer(facts: dict[str, Any], _: Any) -> _messages.Message:
    import keras

    try:
        main(Path(facts["folder"]))
    finally:
        keras.backend.clear_session()
    return {}, ()


if __name__ == "__main__":
    _messages.serve(_answer)
