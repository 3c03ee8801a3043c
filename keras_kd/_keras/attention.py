"""What attention layers make of their arguments before they compare them."""

import inspect
from typing import Any

import keras

from keras_kd._keras.graphs import shallow_copy
from keras_kd._keras.masks import keras_mask, masked

__all__ = ["attend", "attention_kernels", "projection_shapes"]

_PROJECTIONS = {name: f"_{name}_dense" for name in ("query", "key", "value")}


def attention_kernels(layer: Any) -> dict[str, tuple]:
    """Returns the kernels' shapes of an attention layer's query, key, value and output, by name."""
    names = ("query", "key", "value", "output")
    return {name: tuple(getattr(layer, f"_{name}_dense").kernel.shape) for name in names}


def projection_shapes(layer: Any, args: Any, kwargs: Any) -> dict[str, tuple]:
    """Returns the shapes of an attention layer's query, key and value at a call of it, by name.

    None for other layers.
    """
    shapes = {}
    for name, attribute in _PROJECTIONS.items():
        if not hasattr(layer, attribute):
            return {}
        source = _attended(layer, args, kwargs)[name]
        # Keras itself forgets the number of the tokens.
        heads = getattr(layer, attribute).compute_output_shape(source.shape)[-2:]
        shapes[name] = (*source.shape[:-1], *heads)
    return shapes


def _attended(layer: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    given = inspect.signature(layer.call).bind(*args, **kwargs).arguments
    if given.get("key") is None:
        given["key"] = given["value"]
    return {name: given[name] for name in _PROJECTIONS}


def attend(layer: Any, args: Any, kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """Calls attention, also in a wrapper; returns its output, and the three parts by name.

    Each part has the mask of what it is made of, which the layer itself takes off.
    """
    twin, seen = shallow_copy(layer), {}
    core = shallow_copy(layer.layer) if isinstance(layer, keras.layers.Wrapper) else twin
    twin.__dict__.update({"layer": core} if core is not twin else {})
    masks = {name: keras_mask(source) for name, source in _attended(core, args, kwargs).items()}

    def recorded(name: str, projection: Any) -> Any:
        def call(inputs: Any) -> Any:
            projected = projection(inputs)
            seen[name] = masked(projected, masks[name])
            return projected

        return call

    for name, attribute in _PROJECTIONS.items():
        core.__dict__[attribute] = recorded(name, getattr(core, attribute))
    return twin(*args, **kwargs), seen
