"""What has been done to a student's kernels, and which layers were left alone."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_kd import _text
from keras_kd.compression.compressed import Compressed
from keras_kd.compression.grids import Quantize
from keras_kd.compression.kernels import kernels_of
from keras_kd.compression.quantization import has_integer_form
from keras_kd.compression.rebuilding import parts
from keras_kd.compression.students import METHODS, methods
from keras_kd.networks.models import check_model

__all__ = ["KernelReport", "Report", "report"]


@dataclass(frozen=True)
class KernelReport:
    """One kernel as its layer computes with it.

    Attributes:
        path: The layer's path and the kernel's name.
        weights: How many weights it has.
        sparsity: The share of them that is 0.
        values: How many different values they have.
        bits: Bits of its whole numbers, `None` for a kernel in float.
    """

    path: str
    weights: int
    sparsity: float
    values: int
    bits: int | None


@dataclass(frozen=True)
class Report:
    """The kernels of a student, and the layers that a method has left alone; it prints.

    Attributes:
        kernels: The kernels that have transforms.
        left_alone: Reasons by path of the layer.
    """

    kernels: tuple[KernelReport, ...]
    left_alone: dict[str, str]

    def __str__(self) -> str:
        rows = [
            (k.path, f"{k.weights:,}", f"{k.sparsity:.1%}", f"{k.values:,}", str(k.bits or "float"))
            for k in self.kernels
        ]
        table = _text.markdown(("kernel", "weights", "zeros", "values", "bits"), rows)
        left = [f"left alone: {path}: {reason}" for path, reason in self.left_alone.items()]
        return "\n".join([table, *left])


def report(student: keras.Model) -> Report:
    """Returns what the methods have done to each kernel, and what they have left alone.

    Args:
        student: What `prune`, `cluster` or `quantize_aware` returned.

    Raises:
        TypeError: If `student` is not a Keras model.
        ValueError: If it is not built.

    Example:
    ```python
    print(keras_kd.compression.report(student))
    ```
    """
    check_model(student, "student")
    done, kernels, left = methods(student), [], {}
    for path, layer, _ in parts(student):
        inner = layer.layer if isinstance(layer, Compressed) else layer
        has = {t.method for t in layer.transforms} if isinstance(layer, Compressed) else set()
        missing = [METHODS[method] for method in done if method not in has]
        if missing and inner.weights and "Range" not in type(layer).__name__:
            left[path] = f"{_reason(inner, missing)} ({', '.join(missing)})"
        if has:
            kernels += _kernels(path, layer)
    return Report(tuple(kernels), left)


def _reason(layer: keras.layers.Layer, missing: list[str]) -> str:
    kind = type(layer).__name__
    if not kernels_of(layer):
        return "no kernel"
    if missing == [METHODS["quantize"]] and not has_integer_form(layer):
        return f"{kind} has no integer form"
    return f"{kind} left out by skip=, or without a kernel that the method knows"


def _kernels(path: str, layer: Compressed) -> list[KernelReport]:
    found = []
    names = {kernel.index: kernel.name for kernel in kernels_of(layer.layer)}
    for index, kernel in layer.kernels().items():
        values = ops.convert_to_numpy(kernel)
        bits = [t.bits for t in layer.transforms if t.index == index and isinstance(t, Quantize)]
        found.append(
            KernelReport(
                path=f"{path}/{names[index]}",
                weights=values.size,
                sparsity=float(np.mean(values == 0)),
                values=len(np.unique(values)),
                bits=bits[0] if bits else None,
            )
        )
    return found
