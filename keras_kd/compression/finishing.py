"""The ordinary student at the end: its kernels hold what the transforms made of them."""

from typing import Any

import keras
from keras import ops

from keras_kd._errors import refusal
from keras_kd.compression.compressed import Compressed
from keras_kd.compression.kernels import kernels_of
from keras_kd.compression.norms import FoldedNorm
from keras_kd.compression.quantized_layers import Quantized
from keras_kd.compression.quantizing import BEFORE
from keras_kd.compression.ranges import ActivationRange
from keras_kd.compression.rebuilding import copied, rebuilt
from keras_kd.compression.students import check_graph, methods
from keras_kd.compression.unended import warn_of_unended
from keras_kd.networks.stand_ins import LikeIdentity, seen_through

__all__ = ["baked", "finish", "plain_layer", "students_path"]


def finish(student: keras.Model) -> keras.Model:
    """Returns the ordinary student: the same layers as before compression, other weights.

    Kernels hold what their layers computed with: zeros where they were pruned, few different
    values where they were clustered, and values of the integer grid where they were quantised.
    Each property is verified.

    Args:
        student: What `prune`, `cluster` or `quantize_aware` returned, trained.

    Returns:
        A model without any layer of keras_kd.

    Raises:
        TypeError: If `student` is not a Keras model.
        ValueError: If it hides its graph or has no transforms, or a kernel has not the property
            that was asked, e.g. as training ended before the schedule.

    Example:
    ```python
    student = keras_kd.compression.cluster(student)  # then train it
    plain = keras_kd.compression.finish(student)
    plain.save("student.keras")
    ```
    """
    check_graph(student)
    if not methods(student):
        raise refusal(
            "student must be compressed",
            expected="what compression.prune, cluster or quantize_aware returned",
            received=f"{student.name!r}, which has no transforms",
            mend="Pass the student that was trained, e.g. distiller.student",
        )
    faults: dict[str, str] = {}

    def replace(layer: keras.layers.Layer, path: str, calls: int) -> Any:
        if isinstance(layer, LikeIdentity) or getattr(layer, "belongs", False):
            return None
        if not isinstance(layer, Compressed):
            inner = seen_through(layer)
            return copied(inner, name=inner.name.removesuffix(BEFORE))
        plain, faulty = plain_layer(layer)
        own = students_path(path, layer)
        faults.update({f"{own}/{name}": fault for name, fault in faulty.items()})
        return plain

    result = rebuilt(student, replace, BEFORE)
    if faults:
        raise refusal(
            "Each kernel must have the property that was asked for",
            expected="kernels as pruned and clustered as the student was to become",
            received="; ".join(f"{name}: {fault}" for name, fault in faults.items()),
            mend="Train to the end of the schedule, or compress with a shorter one",
        )
    return result


def students_path(path: str, layer: keras.layers.Layer) -> str:
    """Returns the path that a layer of a compressed student has in the ordinary one."""
    around = path[: len(path) - len(layer.name)]
    return around + seen_through(layer).name.removesuffix(BEFORE)


def plain_layer(layer: Compressed) -> tuple[keras.layers.Layer, dict[str, Any]]:
    """Returns the layer with the kernels that it computes with, and what is wrong with them."""
    plain, faults = copied(layer.layer), {}
    for index, kernel in layer.kernels().items():
        # Zeros of both signs are two values in a file, and make it larger to download.
        plain.weights[index].assign(ops.convert_to_numpy(kernel) + 0.0)
    names = {kernel.index: kernel.name for kernel in kernels_of(plain)}
    for transform in layer.transforms:
        fault = layer.fault(transform, ops.convert_to_numpy(plain.weights[transform.index]))
        if fault:
            faults[names[transform.index]] = fault
    return plain, faults


def baked(student: keras.Model) -> keras.Model:
    """Returns a student that holds what its file is to hold.

    Kernels are what masks and centroids make of them, and biases are rounded. The rounding of
    quantised kernels stays. Converters do not compute these beforehand. A student without
    transforms comes as it is.

    Args:
        student: A student.

    Raises:
        ValueError: If it has transforms and hides its graph.
    """
    if not methods(student):
        return student
    check_graph(student)
    warn_of_unended(student, "The file holds what has been pruned so far.", is_last=True)

    def replace(layer: keras.layers.Layer, path: str, calls: int) -> Any:
        if isinstance(layer, FoldedNorm | Quantized):
            return layer.for_file()
        if isinstance(layer, ActivationRange):
            return copied(layer, exact=False)
        if not isinstance(layer, Compressed):
            return copied(layer)
        rest = [each for each in layer.transforms if each.method == "quantize"]
        plain = copied(layer.layer)
        for index, kernel in layer.kernels(without="quantize").items():
            plain.weights[index].assign(kernel)
        for rounding in rest:
            weight = plain.weights[rounding.index]
            weight.assign(rounding.settled(ops.convert_to_tensor(weight)))
        if not rest:
            return plain
        return layer.around(plain, [type(each).from_config(each.get_config()) for each in rest])

    return rebuilt(student, replace)
