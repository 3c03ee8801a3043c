"""Which models can be compressed, what has been done to one, and how a method is added to it."""

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import refusal, wrong
from keras_kd.compression.compressed import Compressed, KernelTransform
from keras_kd.compression.kernels import Kernel, kernels_of
from keras_kd.compression.rebuilding import copied, parts, rebuilt
from keras_kd.networks.models import STEPS, check_model, own_methods

__all__ = [
    "METHODS",
    "Transform",
    "check_graph",
    "check_student",
    "methods",
    "skipped_paths",
    "transformed",
]

# In the order in which they act on a kernel.
METHODS = {"prune": "prune", "cluster": "cluster", "quantize": "quantize_aware"}

Transform = Callable[[keras.layers.Layer, Kernel, int], KernelTransform | None]


def check_graph(student: Any) -> keras.Model:
    """Returns a student that shows its graph.

    Raises:
        TypeError: If it is not a Keras model.
        ValueError: If it is not built, or hides its graph.
    """
    check_model(student, "student")
    if _keras.graph(student) is None:
        raise refusal(
            "student must show its graph",
            expected="a Functional or Sequential model",
            received=f"{student.name!r} of type {type(student).__name__}",
            mend="Build it from keras.Input: keras.Model(inputs, outputs)",
        )
    return student


def check_student(student: Any, method: str) -> keras.Model:
    """Returns a student to which a method can be added.

    Raises:
        TypeError: If it is not a Keras model.
        ValueError: If it is not built, hides its graph, has a training step of its own, or has had
            this method or a later one.
    """
    check_graph(student)
    _check_class(student)
    order, done = list(METHODS.values()), [METHODS[each] for each in methods(student)]
    too_late = [each for each in done if order.index(each) >= order.index(METHODS[method])]
    if too_late:
        raise refusal(
            f"compression.{METHODS[method]} must come once, in the order {', '.join(order)}",
            expected=f"a student without {' and '.join(too_late)}",
            received=f"{student.name!r}, which has had {' and '.join(done)}",
            mend="Pass the student as it was before, or what compression.finish makes of it",
        )
    return student


def _check_class(student: keras.Model) -> None:
    """The compressed student is a model of Keras' own class, which fits in Keras' own way."""
    kind, mend = type(student).__name__, "keras.Model(student.inputs, student.outputs)"
    if steps := own_methods(student, STEPS):
        raise refusal(
            "student must not have a training step of its own, which its copy would lose",
            expected="a Functional or Sequential model that is trained by Keras' own methods",
            received=f"{student.name!r}, whose class {kind} has its own {' and '.join(steps)}",
            mend=f"Pass {mend}, and build {kind} of the inputs and outputs of what comes back",
        )
    if lost := own_methods(student, ("compile", "fit", "evaluate", "predict")):
        warnings.warn(
            f"The compressed student has {kind}.{f' and {kind}.'.join(lost)} no longer, but those "
            f"of keras.Model, e.g. without preprocessing. To say that this is fine, pass {mend}.",
            stacklevel=4,
        )


def methods(model: keras.Model) -> list[str]:
    """Returns what has been done to a model, in the order in which it acts."""
    done = {
        transform.method
        for layer in _keras.all_layers(model)
        if isinstance(layer, Compressed)
        for transform in layer.transforms
    }
    return [method for method in METHODS if method in done]


def transformed(
    student: keras.Model, method: str, transform: Transform, skip: Sequence[str] = ()
) -> keras.Model:
    """Returns a copy of a student with one transform more on its kernels.

    Args:
        student: The student.
        method: The method's name, for messages.
        transform: Makes the transform of a kernel, or `None` to leave it alone.
        skip: Names or paths of layers to leave alone.

    Raises:
        ValueError: If `skip` names no layer, or there is nothing to compress.
    """
    skipped = skipped_paths(student, skip)

    def replace(layer: keras.layers.Layer, path: str, calls: int) -> keras.layers.Layer:
        if path in skipped:
            return copied(layer)
        inner, before = copied(layer), []
        if isinstance(inner, Compressed):
            inner, before = inner.layer, inner.transforms
        made = [transform(layer, kernel, calls) for kernel in kernels_of(inner)]
        made = [each for each in made if each is not None]
        if not made:
            return copied(layer)
        return Compressed(inner, [*before, *made])

    result = rebuilt(student, replace)
    if method not in methods(result):
        raise refusal(
            "student must have a kernel to compress",
            expected="a Dense layer, a convolution, an embedding ...",
            received=f"{student.name!r}, with none that skip= leaves",
            mend="Name fewer layers in skip=" if skip else "Compress another model",
        )
    return result


def skipped_paths(student: keras.Model, skip: Any) -> set[str]:
    """Returns the paths of the layers that are to be left alone.

    Raises:
        TypeError: If `skip` is not a sequence of strings.
        ValueError: If one of them names no layer.
    """
    several = isinstance(skip, Collection) and not isinstance(skip, str | bytes)
    if not several or not all(isinstance(name, str) for name in skip):
        raise wrong("skip", "be a list of layer names", skip, example=["dense"], error=TypeError)
    known = [path for path, _, _ in parts(student)]
    found = {path for path in known for name in skip if f"/{path}".endswith(f"/{name}")}
    for name in skip:
        if not any(f"/{path}".endswith(f"/{name}") for path in known):
            raise wrong("skip", "name layers of the student", name, example=known[:1])
    return found
