"""Quantisation-aware students: trained with the rounding that the integer file does."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import is_integer, message, refusal, wrong
from keras_kd.compression.compressed import Compressed
from keras_kd.compression.ends import at_ends
from keras_kd.compression.grids import Quantize
from keras_kd.compression.integers import Sourced
from keras_kd.compression.kernels import kernels_of
from keras_kd.compression.operations import L, activation_of, is_fused, name_of
from keras_kd.compression.quantized_layers import CompressedSeparable, Quantized
from keras_kd.compression.quantizing import Quantizing
from keras_kd.compression.ranges import (
    RoundedActivation,
    is_composed,
)
from keras_kd.compression.rebuilding import copied, parts
from keras_kd.compression.students import check_student, skipped_paths
from keras_kd.compression.unended import warn_of_unended

__all__ = ["has_integer_form", "quantize_aware"]

_SEPARABLE = (L.SeparableConv1D, L.SeparableConv2D)
_QUANTIZED = (
    L.Dense,
    L.EinsumDense,
    L.Conv1D,
    L.Conv2D,
    L.DepthwiseConv1D,
    L.DepthwiseConv2D,
    L.Conv1DTranspose,
    L.Conv2DTranspose,
    L.Embedding,
    *_SEPARABLE,
)
# TFLite has no kernels of 4 bits for these.
_IN_8_BITS = (L.Conv1DTranspose, L.Conv2DTranspose, L.Embedding)


def quantize_aware(
    student: keras.Model,
    bits: int = 8,
    *,
    first_and_last: int | None = None,
    skip: Sequence[str] = (),
) -> keras.Model:
    """Returns a copy of a student that is trained with the rounding of its integer file.

    Kernels are rounded to whole numbers of `bits` bits, symmetric around 0, with a range for each
    output channel of convolutions. Activations are rounded to 8 bits, in ranges that follow the
    data in training; the inputs of a sum or a concatenation share one. A BatchNormalization is
    folded into the convolution before it, as the file does. `export.tflite(quantization="int8")`
    needs no calibration then.

    Args:
        student: A built Functional or Sequential model that computes in float32, or what
            `compression.prune` or `cluster` returned. It stays as it is.
        bits: Bits of the kernels: 8, or 4.
        first_and_last: Bits of the kernels that no other comes before or after, where they are to
            differ.
        skip: Names or paths of layers whose kernels are trained in float. An integer file rounds
            them, too, where it has such an operator.

    Returns:
        A Keras model like any other, for a `keras_kd.Distiller` or plain `fit`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is wrong, the student computes in half precision, or it has been
            quantised.
        RuntimeError: If Keras is older than 3.9.

    Warns:
        UserWarning: If training has stopped in the middle of a pruning schedule.

    Example:
    ```python
    student = keras_kd.compression.quantize_aware(student)
    student.compile("adam", loss)
    student.fit(x_train, y_train)
    keras_kd.export.tflite(student, "student.tflite", quantization="int8")
    ```

    Reference:
    - [Jacob et al., 2018](https://arxiv.org/abs/1712.05877)
    """
    check_student(student, "quantize")
    _check_keras()
    bits = _check_bits("bits", bits)
    ends = bits if first_and_last is None else _check_bits("first_and_last", first_and_last)
    _check_precision(student)
    warn_of_unended(student, "It goes on while the new student trains.")
    skipped = skipped_paths(student, skip)
    made = _layers(student, skipped, bits, ends)
    calls = {id(layer): count for _, layer, count in parts(student)}
    result = Quantizing(made, calls).student(student)
    for layer in _keras.all_layers(result):
        if isinstance(layer, Sourced):
            layer.settle()
    return result


def _check_keras() -> None:
    if not hasattr(keras.quantizers, "fake_quant_with_min_max_vars"):
        raise RuntimeError(
            message(
                "Keras must be 3.9 or newer for compression.quantize_aware",
                expected="keras.quantizers.fake_quant_with_min_max_vars",
                received=f"Keras {keras.__version__}, which lacks it",
                mend="Type: pip install 'keras>=3.9'",
            )
        )


def _check_bits(name: str, bits: Any) -> int:
    whole = is_integer(bits)
    if whole and bits in (4, 8):
        return int(bits)
    error = ValueError if whole else TypeError
    raise wrong(name, "be 4 or 8", bits, expected="the integer 4 or 8", example=8, error=error)


def _check_precision(student: keras.Model) -> None:
    half = [
        x.name for x in _keras.all_layers(student) if x.compute_dtype in ("float16", "bfloat16")
    ]
    if half:
        raise refusal(
            "student must compute in float32 to learn the rounding of 8 bits",
            expected="layers of the policy 'float32'",
            received=f"{len(half)} in half precision, first {half[0]!r}",
            mend="Build the student under the policy 'float32' and set the trained weights",
        )


def _layers(student: keras.Model, skipped: set[str], bits: int, ends: int) -> dict[int, Any]:
    """Returns the layers in the places of the student's, by its layers' identity."""
    found = parts(student)
    kinds = {
        id(layer) for path, layer, _ in found if path not in skipped and has_integer_form(layer)
    }
    outer = at_ends(student, lambda layer: id(layer) in kinds)
    made: dict[int, Any] = {}
    for _, layer, calls in found:
        if id(layer) in kinds:
            made[id(layer)] = _quantized(layer, ends if id(layer) in outer else bits, calls)
        elif is_composed(activation_of(layer)):
            made[id(layer)] = RoundedActivation(copied(layer))
        else:
            made[id(layer)] = copied(layer)
    return made


def has_integer_form(layer: keras.layers.Layer) -> bool:
    """Whether a layer is rounded as a whole.

    Attention and recurrent layers are not, and layers of `"channels_first"`, which TFLite lacks.
    """
    inner = layer.layer if isinstance(layer, Compressed) else layer
    if getattr(inner, "data_format", None) == "channels_first":
        return False
    return type(inner) in _QUANTIZED and len(kernels_of(inner)) == 1 + isinstance(inner, _SEPARABLE)


def _quantized(layer: keras.layers.Layer, bits: int, calls: int) -> Compressed:
    before = layer.transforms if isinstance(layer, Compressed) else []
    inner = layer.layer if isinstance(layer, Compressed) else layer
    fused = is_fused(name_of(getattr(inner, "activation", None)))
    given = {} if fused else {"bare": True, "name": f"{inner.name}_linear"}
    transforms = [type(each).from_config(each.get_config()) for each in before]
    for kernel in kernels_of(inner):
        clustered = any(x.index == kernel.index and x.method == "cluster" for x in before)
        axis = _channels(inner, kernel.name)
        few = 8 if isinstance(inner, _IN_8_BITS) else bits
        transforms.append(Quantize(kernel.index, kernel.name, few, axis, clustered))
    kind = Quantized
    if isinstance(inner, _SEPARABLE):
        kind, given = CompressedSeparable, {**given, "calls": calls}
    made = kind(copied(inner), transforms, **given)
    for new, old in zip(transforms, before):
        new.set_weights(old.get_weights())
    return made


def _channels(layer: keras.layers.Layer, kernel: str) -> int | None:
    """Returns the axis whose channels have a range each, where TFLite's kernels know them."""
    if isinstance(layer, L.DepthwiseConv2D) or kernel == "depthwise_kernel":
        return 2 if layer.depth_multiplier == 1 and layer.rank == 2 else None
    if isinstance(layer, L.SeparableConv2D):
        return 3
    is_convolution = isinstance(layer, L.Conv2D) and not isinstance(layer, L.Conv2DTranspose)
    return 3 if is_convolution else None
