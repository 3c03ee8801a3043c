"""Multiply-accumulate operations of one answer, counted in the graph of a model or a file."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd.export.tflite_file import operators
from keras_kd.report.free_operations import FREE_LAYERS, FREE_OPERATIONS

__all__ = ["file_macs", "macs"]


def macs(model: keras.Model) -> int | None:
    """Returns how many multiply-accumulates one answer takes.

    Convolutions, dense layers, attention, recurrent layers, `matmul` and `einsum` count; additions,
    activations, normalizations and pooling do not, as is the field's custom.

    Args:
        model: A model built from `keras.Input`; models within it may be, too.

    Returns:
        The number; `None` where the graph does not tell it: subclassed models, layers that are not
        Keras' own, operations that are not known to be free of products, such as `tensordot`, and
        shapes that are open, such as a sequence of any length.

    Example:
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> report.macs(model)
    32
    """
    graph = _keras.graph(model)
    if graph is None:
        return None
    counts = [_of_call(node) for node in _keras.nodes(keras.tree.flatten(graph[1]))]
    return None if any(count is None for count in counts) else sum(counts)


def _of_call(node: Any) -> int | None:
    operation = node.operation
    if isinstance(operation, keras.layers.InputLayer):
        return 0
    shapes = [tuple(tensor.shape) for tensor in node.input_tensors]
    outputs = [tuple(tensor.shape) for tensor in keras.tree.flatten(node.outputs)]
    try:
        if not isinstance(operation, keras.layers.Layer):
            return _of_function(node, outputs)
        core = _core(operation)
        if isinstance(core, keras.layers.MultiHeadAttention):
            return _attention(core, _keras.projection_shapes(core, node.args, node.kwargs))
        if type(core) in (keras.layers.Attention, keras.layers.Dot):
            given = node.args[0] if node.args else node.kwargs["inputs"]
            given = [tuple(tensor.shape) for tensor in given]
            return (_scores if type(core) is keras.layers.Attention else _dot)(core, given, outputs)
        return _of_layer(operation, shapes, outputs)
    except _UnknownError:
        return None


def _core(layer: Any) -> Any:
    """Returns the layer within a pruned or another wrapped one that is called as it is."""
    inner = getattr(layer, "layer", None)
    several = (keras.Model, keras.layers.TimeDistributed, keras.layers.Bidirectional)
    return _core(inner) if inner is not None and not isinstance(layer, several) else layer


class _UnknownError(Exception):
    """The graph does not say."""


def _size(shape: Sequence[int | None]) -> int:
    if None in shape:
        raise _UnknownError
    return math.prod(shape)


def _weights(layer: Any, *names: str) -> int:
    return sum(_size(getattr(layer, name).shape) for name in names)


def _of_layer(layer: keras.layers.Layer, shapes: list, outputs: list) -> int:
    if isinstance(layer, keras.Model):
        found = macs(layer)
        if found is None:
            raise _UnknownError
        return found
    for kind, count in _BY_LAYER:
        if isinstance(layer, kind):
            return count(layer, shapes, outputs)
    wrapped = getattr(layer, "layer", None)
    if isinstance(wrapped, keras.layers.Layer):  # a pruned one, a SpectralNormalization
        return _of_layer(wrapped, shapes, outputs)
    own = type(layer).__module__.startswith("keras_kd.")
    free = own or (_keras.is_stock(layer) and type(layer).__name__ in FREE_LAYERS)
    if not free or any(len(weight.shape) > 1 for weight in layer.weights):
        raise _UnknownError
    return 0


def _spatial(layer: Any, shape: tuple) -> int:
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return _size(shape[2:] if first else shape[1:-1])


def _convolution(layer: Any, shapes: list, outputs: list) -> int:
    return _spatial(layer, outputs[0]) * _weights(layer, "kernel")


def _transposed(layer: Any, shapes: list, outputs: list) -> int:
    return _spatial(layer, shapes[0]) * _weights(layer, "kernel")


def _separable(layer: Any, shapes: list, outputs: list) -> int:
    return _spatial(layer, outputs[0]) * _weights(layer, "depthwise_kernel", "pointwise_kernel")


def _dense(layer: Any, shapes: list, outputs: list) -> int:
    return _size(shapes[0][1:-1]) * _weights(layer, "kernel")


def _einsum_dense(layer: Any, shapes: list, outputs: list) -> int:
    return _einsum(layer.equation, [shapes[0], tuple(layer.kernel.shape)])


def _recurrent(layer: Any, shapes: list, outputs: list) -> int:
    cells = getattr(layer.cell, "cells", [layer.cell])
    return sum(
        _size(shapes[0][1:2]) * _weights(cell, "kernel", "recurrent_kernel") for cell in cells
    )


def _bidirectional(layer: Any, shapes: list, outputs: list) -> int:
    return 2 * _recurrent(layer.forward_layer, shapes, outputs)


def _distributed(layer: Any, shapes: list, outputs: list) -> int:
    inner = [(shape[0], *shape[2:]) for shape in (shapes[0], outputs[0])]
    return _size(shapes[0][1:2]) * _of_layer(layer.layer, inner[:1], inner[1:])


def _attention(layer: Any, projected: dict[str, tuple]) -> int:
    if len(projected["query"]) != 4:  # several axes of tokens
        raise _UnknownError
    shapes_of = _keras.attention_kernels(layer)
    kernels = [_size(shape) for shape in shapes_of.values()]
    names = ("query", "key", "value")
    tokens, keys, values = (_size(projected[name][1:2]) for name in names)
    heads = math.prod(shapes_of["query"][1:])
    value_heads = shapes_of["output"][:-1]
    # Scores, and the values weighted by them.
    products = tokens * keys * heads + tokens * values * math.prod(value_heads)
    return sum(map(math.prod, zip((tokens, keys, values, tokens), kernels))) + products


def _scores(layer: Any, shapes: list, outputs: list) -> int:
    query, value = shapes[:2]
    if layer.score_mode != "dot" or len(query) != 3:
        raise _UnknownError
    # A query's products with each key, and the values weighted by them.
    return _size((query[1], value[1], query[2])) + _size((query[1], *value[1:]))


def _dot(layer: Any, shapes: list, outputs: list) -> int:
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return _size(outputs[0][1:]) * _size((shapes[0][axis],))


def _nothing(layer: Any, shapes: list, outputs: list) -> int:
    return 0


# The first that fits counts: depthwise convolutions have a class of their own.
_BY_LAYER: list[tuple[tuple[type, ...], Callable[[Any, list, list], int]]] = [
    ((keras.layers.Embedding, keras.layers.PReLU), _nothing),
    ((keras.layers.SeparableConv1D, keras.layers.SeparableConv2D), _separable),
    (
        (
            keras.layers.Conv1DTranspose,
            keras.layers.Conv2DTranspose,
            keras.layers.Conv3DTranspose,
        ),
        _transposed,
    ),
    (
        (
            keras.layers.Conv1D,
            keras.layers.Conv2D,
            keras.layers.Conv3D,
            keras.layers.DepthwiseConv1D,
            keras.layers.DepthwiseConv2D,
        ),
        _convolution,
    ),
    ((keras.layers.EinsumDense,), _einsum_dense),
    ((keras.layers.Dense,), _dense),
    ((keras.layers.Bidirectional,), _bidirectional),
    ((keras.layers.TimeDistributed,), _distributed),
    ((keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN), _recurrent),
]


def _of_function(node: Any, outputs: list) -> int:
    name = type(node.operation).__name__
    if name in FREE_OPERATIONS:
        return 0
    # Constants among the operands count, too.
    operands = [each for each in (*node.args, *node.kwargs.values()) if hasattr(each, "shape")]
    shapes = [tuple(each.shape) for each in operands]
    if name in ("Matmul", "Dot"):
        return _size(outputs[0][1:]) * _size(shapes[0][-1:])
    if name == "Einsum":
        return _einsum(node.operation.subscripts, shapes)
    raise _UnknownError


def _einsum(equation: str, shapes: list) -> int:
    """Returns the product of the sizes of all axes but the batch, the first of the operands."""
    operands = equation.replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int | None] = {}
    for letters, shape in zip(operands, shapes):
        letters = letters.replace("...", "")
        # An ellipsis stands for leading axes.
        lead, shape = shape[: len(shape) - len(letters)], shape[len(shape) - len(letters) :]
        sizes.update({f"lead{n}": size for n, size in enumerate(lead)})
        sizes.update(zip(letters, shape))
    batch = "lead0" if "lead0" in sizes else operands[0][0]
    return _size([size for letter, size in sizes.items() if letter != batch])


def file_macs(content: bytes) -> int | None:
    """Returns the same of a `.tflite` file, read off its operators.

    Args:
        content: The file's bytes.

    Returns:
        The number, for one sample; `None` where it is not in the file: loops, open shapes.
    """
    graphs, names = operators.parsed(content)
    if len(graphs) > 1:
        return None
    graph = graphs[0]
    shapes = [_shape(graph.Tensors(place)) for place in range(graph.TensorsLength())]
    batch = (shapes[graph.Inputs(0)] or [1])[0] if graph.InputsLength() else 1
    total = 0
    for use in operators.uses(graph):
        count = _BY_OPERATOR.get(names[use.OpcodeIndex()])
        if count is None:
            continue
        inputs = [shapes[place] for place in use.InputsAsNumpy() if place >= 0]
        found = count(inputs, shapes[use.Outputs(0)])
        if found <= 0:
            return None
        total += found
    return round(total / max(batch, 1))


def _shape(tensor: Any) -> list[int]:
    shape = tensor.ShapeAsNumpy()
    return [] if np.isscalar(shape) else shape.tolist()


# From the shapes of the inputs and of the first output. Filters are (out, ..., in).
_BY_OPERATOR: dict[str, Callable[[list[list[int]], list[int]], int]] = {
    "CONV_2D": lambda i, o: math.prod(o) * math.prod(i[1][1:]),
    "DEPTHWISE_CONV_2D": lambda i, o: math.prod(o) * math.prod(i[1][1:3]),
    "CONV_3D": lambda i, o: math.prod(o) * math.prod(i[1][:4]),
    "TRANSPOSE_CONV": lambda i, o: math.prod(i[2]) * math.prod(i[1][:3]),
    "FULLY_CONNECTED": lambda i, o: math.prod(o) * i[1][-1],
    "BATCH_MATMUL": lambda i, o: math.prod(o) * i[0][-1],
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lambda i, o: (
        math.prod(o[:2]) * sum(math.prod(shape) for shape in i[1:] if len(shape) == 2)
    ),
}
