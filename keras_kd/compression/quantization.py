"""Quantisation-aware students: trained with the rounding that the integer file does."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import is_integer, message, refusal, wrong
from keras_kd.compression.compressed import Compressed
from keras_kd.compression.grids import Quantize
from keras_kd.compression.integers import Sourced
from keras_kd.compression.kernels import kernels_of
from keras_kd.compression.norms import Affine, FoldedNorm
from keras_kd.compression.operations import L, activation_of, is_fused
from keras_kd.compression.placement import Placement
from keras_kd.compression.pooling import MapMean
from keras_kd.compression.quantized_layers import CompressedSeparable, Quantized
from keras_kd.compression.ranges import (
    ActivationRange,
    FixedRange,
    RoundedActivation,
    is_composed,
)
from keras_kd.compression.rebuilding import copied, is_graph, parts, renamed
from keras_kd.compression.schedules import warn_of_unended
from keras_kd.compression.students import check_student, skipped_paths
from keras_kd.networks.stand_ins import seen_through

__all__ = ["BEFORE", "L", "has_integer_form", "quantize_aware"]

# The end of the name of what gives an output, whose own name its range has.
BEFORE = "_before_range"
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
_AFFINE = (L.BatchNormalization, L.Rescaling, L.Normalization)


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
        first_and_last: Bits of the first and the last kernel, where they are to differ.
        skip: Names or paths of layers to leave in float.

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
    result = _Quantizing(made).model(student, is_outermost=True)
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
    kinds = [path for path, layer, _ in found if path not in skipped and has_integer_form(layer)]
    made: dict[int, Any] = {}
    for path, layer, _ in found:
        if path in kinds:
            made[id(layer)] = _quantized(layer, ends if path in (kinds[0], kinds[-1]) else bits)
        elif is_composed(activation_of(layer)):
            made[id(layer)] = RoundedActivation(copied(layer))
        else:
            made[id(layer)] = copied(layer)
    return made


def has_integer_form(layer: keras.layers.Layer) -> bool:
    """Whether a layer is rounded as a whole; attention and recurrent layers are not."""
    inner = layer.layer if isinstance(layer, Compressed) else layer
    return type(inner) in _QUANTIZED and len(kernels_of(inner)) == 1 + isinstance(inner, _SEPARABLE)


def _quantized(layer: keras.layers.Layer, bits: int) -> Compressed:
    before = layer.transforms if isinstance(layer, Compressed) else []
    inner = layer.layer if isinstance(layer, Compressed) else layer
    name = getattr(getattr(inner, "activation", None), "__name__", "linear")
    bare = {} if is_fused(name) else {"bare": True, "name": f"{inner.name}_linear"}
    transforms = [type(each).from_config(each.get_config()) for each in before]
    for kernel in kernels_of(inner):
        clustered = any(x.index == kernel.index and x.method == "cluster" for x in before)
        axis = _channels(inner, kernel.name)
        few = 8 if isinstance(inner, _IN_8_BITS) else bits
        transforms.append(Quantize(kernel.index, kernel.name, few, axis, clustered))
    kind = CompressedSeparable if isinstance(inner, _SEPARABLE) else Quantized
    made = kind(copied(inner), transforms, **bare)
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
    return 3 if is_convolution and layer.data_format == "channels_last" else None


class _Quantizing:
    """Builds a model of new layers, with ranges after them.

    Args:
        made: The layers in the places of the student's, by its layers' identity.
    """

    def __init__(self, made: dict[int, Any]):
        self._made, self._models = made, {}
        self._extra: dict[Any, Any] = {}
        self._calls: Counter[Any] = Counter()

    def model(self, model: keras.Model, is_outermost: bool = False) -> keras.Model:
        """Returns the model in the place of another one."""
        if id(model) in self._models:
            return self._models[id(model)]
        graph = _keras.graph(model)
        outputs = keras.tree.flatten(graph[1])
        ends = {id(tensor) for tensor in outputs} if is_outermost else set()
        placement = Placement(graph, lambda x: self._made.get(id(x), x), is_outermost)
        inputs = keras.tree.map_structure(_keras.input_again, graph[0])
        new: dict[int, Any] = {}
        for old, tensor in zip(keras.tree.flatten(graph[0]), keras.tree.flatten(inputs)):
            new[id(old)] = self._rounded(placement, old, tensor, f"{tensor.name}_range")
        for node in _keras.nodes(outputs):
            if node.input_tensors:
                self._call(placement, node, new, ends)
        outputs = keras.tree.map_structure(lambda tensor: new[id(tensor)], graph[1])
        self._models[id(model)] = keras.Model(inputs, outputs, name=model.name)
        return self._models[id(model)]

    def _call(self, placement: Placement, node: Any, new: dict[int, Any], ends: set[int]) -> None:
        name, tensor = node.operation.name, node.outputs[0]
        made = self._in_place(placement, node)
        # Outputs have the name of the layer that gives them: the range, where there is one.
        is_end = id(tensor) in ends and placement.range_of(tensor) is not None
        bare = isinstance(made, Compressed) and made.bare
        if is_end and not bare:
            made = self._once((id(made), "renamed"), lambda: renamed(made, name + BEFORE))
        args, kwargs = node.fill_in(new)
        outputs = keras.tree.flatten(made(*args, **kwargs))
        if bare:
            outputs = [self._activated(node.operation, outputs[0], name + BEFORE * is_end)]
        for old, given in zip(node.outputs, outputs):
            new[id(old)] = self._rounded(placement, old, given, name if is_end else f"{name}_range")

    def _in_place(self, placement: Placement, node: Any) -> Any:
        operation = node.operation
        if is_graph(operation):
            return self.model(operation)
        made = self._made.get(id(operation))
        if made is None:
            return self._once(id(operation), lambda: _keras.shallow_copy(operation))
        if type(made) in _AFFINE:
            folded = placement.folding(node)
            if folded or _is_last(made):
                kind = FoldedNorm if folded else Affine
                return self._once(id(operation), lambda: kind(made))
        if placement.averages_map(operation):
            return self._once(id(operation), lambda: MapMean(made))
        return made

    def _activated(self, layer: Any, linear: Any, name: str) -> Any:
        """Computes the activation of a layer that has been called without it."""
        before = self._once(
            (id(layer), "linear"), lambda: ActivationRange(name=f"{layer.name}_linear_range")
        )
        activation = self._once(
            (id(layer), "activation"),
            lambda: RoundedActivation(
                L.Activation(seen_through(layer).activation, name=name), belongs=True
            ),
        )
        return activation(before(linear))

    def _rounded(self, placement: Placement, old: Any, tensor: Any, name: str) -> Any:
        found = placement.range_of(old)
        if found is None:
            return tensor
        kind, what = found
        if kind == "fixed":
            return self._once((kind, name), lambda: FixedRange(*what, name=name))(tensor)
        calls = placement.calls(what)
        layer = self._once((kind, what), lambda: ActivationRange(calls, name=name))
        self._calls[what] += 1
        return layer(tensor, place=self._calls[what] - 1) if calls > 1 else layer(tensor)

    def _once(self, key: Any, make: Any) -> Any:
        if key not in self._extra:
            self._extra[key] = make()
        return self._extra[key]


def _is_last(layer: keras.layers.Layer) -> bool:
    """Whether a normalization has a number for each channel of the last axis, or for all."""
    shape = layer.get_build_config()["input_shape"]
    last = (-1, len(shape) - 1)
    if isinstance(layer, L.Normalization):
        return all(axis in last for axis in layer.axis)
    return not isinstance(layer, L.BatchNormalization) or layer.axis in last
