"""What has been done to a student's kernels, and which layers were left alone."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_kd import _text
from keras_kd.compression.compressed import Compressed, KernelTransform
from keras_kd.compression.finishing import students_path
from keras_kd.compression.grids import Quantize
from keras_kd.compression.kernels import kernels_of
from keras_kd.compression.operations import activation_of, name_of
from keras_kd.compression.quantization import has_integer_form
from keras_kd.compression.rebuilding import parts
from keras_kd.compression.students import METHODS, check_graph, methods
from keras_kd.networks.stand_ins import LikeIdentity, LikeItsLayer, seen_through

__all__ = ["KernelReport", "Report", "report"]

# Activations that integer files have no operator for.
_IN_FLOAT = ("celu", "elu", "hard_shrink", "log_sigmoid", "mish", "selu", "softplus", "softsign")


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
        ValueError: If it is not built, or hides its graph.

    Example:
    ```python
    print(keras_kd.compression.report(student))
    ```
    """
    check_graph(student)
    done, kernels, left = methods(student), [], {}
    found = parts(student)
    has_pattern = any(
        getattr(transform, "pattern", None)
        for _, layer, _ in found
        for transform in _transforms(layer)
    )
    for path, layer, _ in found:
        if isinstance(layer, LikeIdentity) or getattr(layer, "belongs", False):
            continue
        path = students_path(path, layer)
        kernels += _kernels(path, layer) if _transforms(layer) else []
        methods_by_reason: dict[str, list[str]] = {}
        for method in done:
            if reason := _reason(layer, method, has_pattern):
                methods_by_reason.setdefault(reason, []).append(METHODS[method])
        if methods_by_reason:
            reasons = methods_by_reason.items()
            left[path] = "; ".join(f"{reason} ({', '.join(names)})" for reason, names in reasons)
    return Report(tuple(kernels), left)


def _transforms(layer: keras.layers.Layer) -> list[KernelTransform]:
    return layer.transforms if isinstance(layer, Compressed) else []


def _reason(layer: keras.layers.Layer, method: str, has_pattern: bool) -> str | None:
    """Says why a method has left a layer alone, `None` if it has not, or had nothing to do."""
    inner = seen_through(layer)
    if method == "quantize":
        return _reason_of_float(layer, inner)
    if not inner.weights or method in {each.method for each in _transforms(layer)}:
        return None
    kernels = kernels_of(inner)
    if not kernels:
        return "no kernel"
    if method == "prune" and has_pattern and all(each.inputs_axis is None for each in kernels):
        return f"{type(inner).__name__} has no sum over its inputs for pattern="
    return "left out by skip="


def _reason_of_float(layer: keras.layers.Layer, inner: keras.layers.Layer) -> str | None:
    kind = type(inner).__name__
    name = activation_of(inner) or name_of(getattr(inner, "activation", None))
    if kind == "ELU" or name in _IN_FLOAT:
        return f"{kind if kind == 'ELU' else name} has no integer form"
    is_rounded = any(each.method == "quantize" for each in _transforms(layer))
    if is_rounded or not inner.weights:
        return None
    if isinstance(layer, LikeItsLayer) and not isinstance(layer, Compressed):
        return None  # e.g. a norm that the file folds
    return "left out by skip=" if has_integer_form(inner) else f"{kind} has no integer form"


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
