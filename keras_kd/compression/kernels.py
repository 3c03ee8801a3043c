"""The kernels of a layer: which of its weights are many, and what they are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_kd import _keras

__all__ = ["Kernel", "called_with", "is_kernel", "kernels_of"]

# What Keras' layers call the weights that their inputs are multiplied with, or picked from.
_NAMES = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings")
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
# Their kernels have the outputs before the inputs.
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


@dataclass(frozen=True)
class Kernel:
    """One kernel of a layer.

    Attributes:
        index: Its place among the layer's weights.
        variable: The weight.
        name: Its name within the layer, e.g. `"kernel"`, or `"query/kernel"` of attention.
        inputs_axis: The axis along which the inputs of a sum follow each other, from the end;
            `None` where each weight has a sum, or a word, of its own: of depthwise convolutions
            and embeddings.
    """

    index: int
    variable: keras.Variable
    name: str
    inputs_axis: int | None = -2


def kernels_of(layer: keras.layers.Layer) -> list[Kernel]:
    """Returns the kernels of a built layer and of the layers in it."""
    found = []
    owners = {id(w): part for part in _keras.all_layers(layer) for w in _own(part)}
    for index, weight in enumerate(layer.weights):
        owner = owners.get(id(weight))
        if owner is None or not is_kernel(weight):
            continue
        name = weight.name if owner is layer else f"{owner.name}/{weight.name}"
        found.append(Kernel(index, weight, name, _inputs_axis(owner, weight)))
    return found


def _inputs_axis(owner: keras.layers.Layer, kernel: keras.Variable) -> int | None:
    if kernel.name in ("depthwise_kernel", "embeddings") or isinstance(owner, _DEPTHWISE):
        return None
    if isinstance(owner, _TRANSPOSED):
        return -1
    if not isinstance(owner, keras.layers.EinsumDense):
        return -2
    inputs, letters = owner.equation.split("->")[0].split(",")
    last = max(place for place, letter in enumerate(letters) if letter in inputs)
    return last - len(letters)


def is_kernel(weight: keras.Variable) -> bool:
    """Whether a weight is a kernel in float: one of quantised layers holds whole numbers."""
    return weight.name in _NAMES and len(weight.shape) > 1 and "float" in weight.dtype


def _own(layer: keras.layers.Layer) -> list[keras.Variable]:
    inner = {id(w) for part in _keras.all_layers(layer) if part is not layer for w in part.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def called_with(layer: Any, values: dict[int, Any], args: Sequence, kwargs: dict) -> tuple:
    """Calls a layer while some of its weights have other values.

    Args:
        layer: A built layer.
        values: Tensors by the weight's place in `layer.weights`.
        args: Positional arguments of the call.
        kwargs: Keyword arguments of the call.

    Returns:
        What the layer gives, and the losses that it has added, e.g. of its activity regularizer.
    """
    replaced = {id(layer.weights[index]): value for index, value in values.items()}
    # All variables: on JAX this scope hides the values that the step's own scope has for them.
    mapping = [
        (v, replaced[id(v)] if id(v) in replaced else ops.convert_to_tensor(v))
        for v in layer.variables
    ]
    with keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
        before = [scope.get_current_value(variable) for variable in layer.variables]
        output = layer(*args, **kwargs)
    for variable, old in zip(layer.variables, before):
        new = scope.get_current_value(variable)
        if new is not old:  # e.g. the statistics of a BatchNormalization, or a seed
            variable.assign(new)
    return output, scope.losses
