"""The child process of `tflite`: `python -m keras_kd.export._convert FOLDER`.

A process of its own, as TensorFlow's converter can end in a segmentation fault. The folder holds
`saved_model/`, `job.json` and, for calibrated modes, `calibration.npz`; `model.tflite` is added.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from keras_kd.export.archive import ENDPOINT
from keras_kd.export.modes import MODES


def convert(folder: Path) -> bytes:
    """Converts the SavedModel in `folder` as its job says, with built-in operators only."""
    import tensorflow as tf

    job = json.loads((folder / "job.json").read_text())
    mode = MODES[job["quantization"]]
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder / "saved_model"), signature_keys=[ENDPOINT]
    )
    converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, mode.ops)]
    if mode.calibrated:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative_dataset(
            folder / "calibration.npz", job["inputs"], job["batch_size"]
        )
    if job["io_dtype"]:
        converter.inference_input_type = tf.as_dtype(job["io_dtype"])
        converter.inference_output_type = tf.as_dtype(job["io_dtype"])
    return converter.convert()


def representative_dataset(
    file: Path, names: list[str], batch_size: int
) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    """Returns what the converter calls for batches of calibration samples by input name."""
    with np.load(file, allow_pickle=False) as stored:
        arrays = [stored[f"arr_{position}"] for position in range(len(names))]

    def batches() -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(arrays[0]), batch_size):
            # The last batch reaches back: repeated samples do not change a range.
            rows = np.arange(start, start + batch_size) % len(arrays[0])
            yield {name: array[rows] for name, array in zip(names, arrays)}

    return batches


if __name__ == "__main__":
    work = Path(sys.argv[1])
    (work / "model.tflite").write_bytes(convert(work))
