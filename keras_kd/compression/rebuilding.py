"""A model once more: the same graph of new layers, so that the first model stays as it was."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_kd import _keras
from keras_kd.networks.copies import made_again
from keras_kd.networks.models import not_made_again
from keras_kd.networks.stand_ins import LikeIdentity

__all__ = ["Replace", "copied", "is_graph", "like_it", "parts", "rebuilt", "renamed"]

# From a layer, its path and its calls in one pass of the model to the layer in its place; `None`
# for none, so that what it is given goes on.
Replace = Callable[[keras.layers.Layer, str, int], keras.layers.Layer | None]


@keras.saving.register_keras_serializable("keras_kd")
class Chain(keras.Model):
    """What a Sequential model is with layers that share ranges, which are not a chain."""


def like_it(model: keras.Model, inputs: Any, outputs: Any) -> keras.Model:
    """Returns a model of a graph, of the given one's kind.

    A Sequential model's is a `Chain`, which `rebuilt` turns back into a Sequential one once its
    ranges are gone.

    Args:
        model: The model in whose place it is.
        inputs: Symbolic inputs.
        outputs: Symbolic outputs.
    """
    kind = Chain if isinstance(model, keras.Sequential | Chain) else keras.Model
    return kind(inputs, outputs, name=model.name)


def rebuilt(model: keras.Model, replace: Replace, suffix: str = "") -> keras.Model:
    """Returns a model of the same graph, names and containers, with other layers.

    Args:
        model: A built Functional or Sequential model.
        replace: Gives the layer in each layer's place, built and with its weights. It is asked
            once for a layer that is called several times, and not for nested models, which are
            rebuilt themselves.
        suffix: The end of names of functions of `keras.ops` that is taken off.
    """
    layers = {id(layer): replace(layer, path, calls) for path, layer, calls in parts(model)}
    return _again(model, layers, {}, suffix)


def parts(model: keras.Model) -> list[tuple[str, keras.layers.Layer, int]]:
    """Returns the layers of a model, of nested models, too, with their paths and their calls."""
    calls: Counter[int] = Counter()
    found: dict[int, tuple[str, keras.layers.Layer]] = {}
    for path, layer in _walk(model, ""):
        calls[id(layer)] += 1
        found.setdefault(id(layer), (path, layer))
    return [(path, layer, calls[key]) for key, (path, layer) in found.items()]


def _walk(model: keras.Model, around: str) -> Iterator[tuple[str, keras.layers.Layer]]:
    for node in _keras.nodes(keras.tree.flatten(_keras.graph(model)[1])):
        operation, path = node.operation, around + node.operation.name
        if is_graph(operation):
            yield from _walk(operation, f"{path}/")
        elif isinstance(operation, keras.layers.Layer) and node.input_tensors:
            yield path, operation


def is_graph(operation: Any) -> bool:
    """Whether an operation is a nested model that shows its graph."""
    return isinstance(operation, keras.Model) and _keras.graph(operation) is not None


def _again(
    model: keras.Model, layers: dict[int, Any], models: dict[int, Any], suffix: str
) -> keras.Model:
    if id(model) in models:
        return models[id(model)]
    inputs, outputs = _keras.graph(model)
    again = keras.tree.map_structure(_keras.input_again, inputs)

    def new(operation: Any) -> Any:
        if is_graph(operation):
            return _again(operation, layers, models, suffix)
        # A function of keras.ops has no weights to copy.
        return (
            layers[id(operation)]
            if id(operation) in layers
            else renamed(operation, operation.name.removesuffix(suffix))
        )

    nodes = [each for each in _keras.nodes(keras.tree.flatten(outputs)) if each.input_tensors]
    operations = {id(node.operation): new(node.operation) for node in nodes}
    if isinstance(model, keras.Sequential) or (isinstance(model, Chain) and _is_chain(operations)):
        # Keras 3.8 casts between layers, and does so again.
        chain = [each for each in operations.values() if isinstance(each, keras.layers.Layer)]
        result = keras.Sequential([*keras.tree.flatten(again), *chain], name=model.name)
    else:
        tensors = dict(zip(map(id, keras.tree.flatten(inputs)), keras.tree.flatten(again)))
        for node in nodes:
            operation = operations[id(node.operation)]
            args, kwargs = node.fill_in(tensors)
            if kwargs.get("mask", 0) is None:  # Keras finds it again, for layers that take one
                del kwargs["mask"]
            given = (
                args[:1] if operation is None else keras.tree.flatten(operation(*args, **kwargs))
            )
            tensors |= dict(zip(map(id, node.outputs), given))
        outputs = keras.tree.map_structure(lambda tensor: tensors[id(tensor)], outputs)
        result = like_it(model, again, outputs)
    models[id(model)] = result
    return result


def _is_chain(operations: dict[int, Any]) -> bool:
    """Whether operations are called one after the other, each once: all but ranges are."""
    return not any(isinstance(each, LikeIdentity) for each in operations.values())


def renamed(operation: Any, name: str) -> Any:
    """Returns an operation like the given one, of another name; of layers with a copy's weights."""
    if isinstance(operation, keras.layers.Layer):
        return copied(operation, name=name)
    return _twin(operation, name)


def _twin(operation: Any, name: str) -> Any:
    twin = _keras.shallow_copy(operation)
    twin.__dict__["name"] = name
    return twin


def _has_assets(layer: keras.layers.Layer) -> bool:
    """Whether a layer saves more than weights, e.g. a vocabulary."""
    return hasattr(layer, "save_assets")


def copied(layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
    """Returns a layer like the given one, with weights of the same values.

    Args:
        layer: A built layer.
        **changes: Other values in its configuration.

    Raises:
        ValueError: If it cannot be made of its configuration.
    """
    # Neither configurations nor weights hold vocabularies. What does not train may be shared.
    if not layer.weights and (isinstance(layer, keras.layers.Lambda) or _has_assets(layer)):
        return _twin(layer, changes.get("name", layer.name))
    try:
        again = made_again(layer, **changes)
        if not again.built and layer.built:
            again.build_from_config(layer.get_build_config())
            again.built = True
        again.set_weights(layer.get_weights())
    except Exception as error:
        what = f"The {type(layer).__name__} {layer.name!r}"
        raise not_made_again(what, error) from error
    if isinstance(again, keras.layers.Normalization):
        again.finalize_state()  # makes what it computes with of its weights
    return again
