"""What is handed over beside the file: what it holds, how well it agrees, how fast it runs."""

import gzip
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._text import bytes_in_words, milliseconds_in_words, pairs
from keras_kd.runtimes.tensors import TensorInfo

__all__ = ["Latency", "Report", "cpu_name", "measure", "sizes"]

_WARM_UP, _MOST_CALLS, _MOST_SECONDS = 5, 100, 1.0


@dataclass(frozen=True)
class Latency:
    """Times of single invocations after a warm-up; the fields are those of `Report`."""

    latency_ms: float
    latency_p95_ms: float
    threads: int | None
    machine: str


@dataclass(frozen=True)
class Report:
    """The facts about an exported file; `str(report)` is a table, `save` writes JSON.

    Args:
        path: Where the file lies.
        format: `"tflite"` or `"saved_model"`.
        quantization: The mode of a `.tflite` file, `None` for a SavedModel.
        bytes: Size on disk.
        gzip_bytes: Size after gzip, which is what a download takes.
        operators: Number of uses of each operator by name, in alphabetical order; empty for a
            SavedModel.
        float_operators: Those of a calibrated mode that compute in float all the same.
        inputs: Inputs in the model's order, with scale and zero point where they are quantised.
        outputs: Outputs likewise, in alphabetical order.
        calibration_samples: Number of samples that the ranges were found on.
        relative_error: `||file - keras|| / ||keras||`, of the worst output, with the kernels of
            LiteRT that are used by default: XNNPACK's, where it has some. Of whole numbers, e.g.
            class ids, the share that differs.
        argmax_agreement: Share of equal argmaxes, of whole numbers the share of equal ones; `None`
            without an axis to take them over.
        samples: Number of samples compared.
        spread_error: `||file - keras|| / ||keras - its mean over the samples||`, of the worst
            output, without the 1 % of the samples farthest from the median; probabilities count
            as spread by 1/256 at least. `None` if Keras' answers are all the same.
        tolerance: The relative error that was allowed.
        reference_error: `relative_error` with LiteRT's reference kernels, on some of the samples;
            `None` if they fail.
        reference_samples: Their number.
        accuracy_before: Share of right answers of the Keras model, with labels.
        accuracy_after: That of the file.
        accuracy_output: Name of the output that both are of, the one that loses most.
        latency_ms: Median time of one invocation with one batch, in milliseconds.
        latency_p95_ms: Its 95th percentile.
        threads: CPU threads in use; `None` where TensorFlow chose.
        machine: The CPU that ran it.
        channel_error: `spread_error` of the worst channel of the last axis; `None` if no output has
            channels that vary.
    """

    path: str
    format: str
    quantization: str | None
    bytes: int
    gzip_bytes: int
    operators: dict[str, int]
    float_operators: dict[str, int]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    calibration_samples: int
    relative_error: float
    argmax_agreement: float | None
    samples: int
    spread_error: float | None
    tolerance: float
    reference_error: float | None
    reference_samples: int
    accuracy_before: float | None
    accuracy_after: float | None
    accuracy_output: str | None
    latency_ms: float
    latency_p95_ms: float
    threads: int | None
    machine: str
    channel_error: float | None = None

    def __str__(self) -> str:
        argmax = self.argmax_agreement
        latencies = map(milliseconds_in_words, (self.latency_ms, self.latency_p95_ms))
        rows = [
            ("file", self.path),
            ("format", " ".join(filter(None, (self.format, self.quantization)))),
            ("size", f"{bytes_in_words(self.bytes)}, gzip {bytes_in_words(self.gzip_bytes)}"),
            *(("input", _tensor_line(tensor)) for tensor in self.inputs),
            *(("output", _tensor_line(tensor)) for tensor in self.outputs),
            ("operators", _counts_line(self.operators)),
            ("in float", _counts_line(self.float_operators)),
            ("calibrated", f"{self.calibration_samples} samples" * (self.calibration_samples > 0)),
            ("error", self._error_line()),
            ("spread", self._spread_line()),
            ("argmax", None if argmax is None else f"{argmax:.1%} agree with Keras"),
            ("samples", self.samples),
            ("accuracy", self._accuracy_line()),
            ("latency", ", p95 ".join(latencies)),
            ("threads", self.threads),
            ("machine", self.machine),
        ]
        return pairs(rows, gap=1, least=len("calibrated"))

    def _error_line(self) -> str:
        line = f"{self.relative_error:.2g} relative RMS (allowed {self.tolerance:g})"
        if self.reference_error is None:
            return line
        return f"{line}; {self.reference_error:.2g} with the reference kernels"

    def _spread_line(self) -> str | None:
        if self.spread_error is None:
            return None
        return f"{self.spread_error:.2g} is the error by the spread of Keras' answers"

    def _accuracy_line(self) -> str | None:
        if self.accuracy_before is None:
            return None
        line = f"{self.accuracy_after:.2%}, Keras {self.accuracy_before:.2%}"
        return f"{line}, of {self.accuracy_output}" if len(self.outputs) > 1 else line

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as JSON, by the fields' names."""
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n")


def _counts_line(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _tensor_line(tensor: TensorInfo) -> str:
    line = f"{tensor.name} {tensor.shape} {tensor.dtype}"
    if tensor.scale is None:
        return line
    return f"{line}, scale {tensor.scale:.6g}, zero point {tensor.zero_point}"


def measure(invoke: Callable[[], Any], threads: int | None) -> Latency:
    """Times single invocations: a few to warm up, then up to 100 or one second.

    Args:
        invoke: Runs one batch.
        threads: How many CPU threads `invoke` uses, where it is known.
    """
    for _ in range(_WARM_UP):
        invoke()
    times: list[float] = []
    while len(times) < _MOST_CALLS and sum(times) < _MOST_SECONDS:
        start = time.perf_counter()
        invoke()
        times.append(time.perf_counter() - start)
    median, p95 = np.percentile(times, [50, 95]) * 1000
    return Latency(float(median), float(p95), threads, f"{cpu_name()} (not a phone)")


def sizes(path: Path) -> dict[str, int]:
    """Returns the bytes of a file, or of all files below a folder, plain and after gzip."""
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] or [path]
    contents = [file.read_bytes() for file in files]
    zipped = [gzip.compress(content, mtime=0) for content in contents]
    return {"bytes": sum(map(len, contents)), "gzip_bytes": sum(map(len, zipped))}


def cpu_name() -> str:
    """Returns the name of the CPU, as well as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or "unknown CPU"
