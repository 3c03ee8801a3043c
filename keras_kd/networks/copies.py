"""Layers made once more from their configurations, with the functions that were given to them.

A configuration holds the name of a function, under which Keras finds its own, or none.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

__all__ = ["made_again"]

# They can be called, too; each belongs to one layer.
_WITH_STATE = (keras.Operation, keras.metrics.Metric, keras.random.SeedGenerator)
_WITH_STATE += (keras.initializers.Initializer,)

Path = tuple[Any, ...]


def made_again(
    layer: keras.layers.Layer, change: Callable[[Any], Any] | None = None, **changes: Any
) -> Any:
    """Returns a layer like the given one, without weights, with the same functions.

    Functions and callable objects of others than Keras, e.g. activations and regularizers, are
    shared with the given layer, also within wrappers; initializers are made again. Neither need be
    registered.

    Args:
        layer: A layer.
        change: From its configuration to the one that is used. Default: the same.
        **changes: Other values in its configuration.

    Raises:
        Exception: Whatever its class raises, if Keras cannot make it of its configuration.
    """
    functions = dict(_functions(layer))
    try:
        with _stand_ins(functions) as scope:
            given = layer.get_config()
        again = _from_config(layer, given, scope, change, changes)
    except Exception:
        if not functions:
            raise
        # A class of the user may ask more of a function than that it is one.
        scope = {getattr(value, "__name__", ""): value for _, _, value in functions.values()}
        again = _from_config(layer, layer.get_config(), scope, change, changes)
    for path, (owner, name, value) in functions.items():
        twin = _at(again, path[:-1])
        if type(twin) is type(owner) and name in vars(twin) and _is_to_be_shared(value, twin, name):
            vars(twin)[name] = value
    return again


def _from_config(layer: Any, given: Any, scope: dict[str, Any], change: Any, changes: Any) -> Any:
    # Classes of layers within, e.g. in TimeDistributed, need not be registered either.
    parts = [each for _, each in _layers(layer)]
    given_to = [value for each in parts for value in vars(each).values()]
    parts += [value for value in given_to if isinstance(value, keras.initializers.Initializer)]
    inner = {type(each) for each in parts if _library(type(each)) != "keras"}
    scope = {keras.saving.get_registered_name(each): each for each in inner} | scope
    given = given if change is None else change(given)
    with keras.saving.custom_object_scope(scope):
        return type(layer).from_config({**given, **changes})


@contextlib.contextmanager
def _stand_ins(functions: dict[Path, tuple[Any, str, Any]]) -> Iterator[dict[str, Any]]:
    """Gives layers functions of unique names for a while, and the functions by these names.

    Keras has no name for lambdas, and its own functions come first.
    """
    scope: dict[str, Any] = {}
    try:
        for number, (owner, name, value) in enumerate(functions.values()):

            def stand_in(*args: Any, **kwargs: Any) -> None: ...

            stand_in.__name__ = stand_in.__qualname__ = f"keras_kd_function_{number}"
            scope[stand_in.__name__] = value
            vars(owner)[name] = stand_in
        yield scope
    finally:
        for owner, name, value in functions.values():
            vars(owner)[name] = value


def _functions(layer: Any) -> Iterator[tuple[Path, tuple[Any, str, Any]]]:
    """Returns the functions that a layer was given, with their owners and names, by path."""
    layers = list(_layers(layer))
    own = {id(each) for _, each in layers} | {id(v) for _, each in layers for v in each.variables}
    for path, each in layers:
        for name, value in vars(each).items():
            # Keras keeps its wrappers around some methods among the attributes.
            if not hasattr(keras.layers.Layer, name) and _is_given(value, own):
                yield (*path, name), (each, name, value)


def _layers(root: Any, path: Path = (), seen: set[int] | None = None) -> Iterator[tuple[Path, Any]]:
    """Returns the layers in a layer, itself first, with the steps that lead to each."""
    seen = set() if seen is None else seen
    if id(root) in seen:
        return
    seen.add(id(root))
    if isinstance(root, keras.layers.Layer):
        yield path, root
        # Attributes first: the list of all layers has those of `build`, too.
        steps = sorted(vars(root).items(), key=lambda step: step[0] == "_layers")
    elif isinstance(root, dict):
        steps = list(root.items())
    else:
        steps = list(enumerate(root)) if isinstance(root, list | tuple) else []
    for name, value in steps:
        if isinstance(value, keras.layers.Layer | dict | list | tuple):
            yield from _layers(value, (*path, name), seen)


def _at(root: Any, path: Path) -> Any:
    """Returns what lies at the end of a path, `None` if there is nothing."""
    for step in path:
        try:
            root = vars(root)[step] if isinstance(root, keras.layers.Layer) else root[step]
        except (KeyError, IndexError, TypeError):
            return None
    return root


def _is_to_be_shared(value: Any, twin: Any, name: str) -> bool:
    """Whether a copy takes over what its class has not made for it itself."""
    return inspect.isroutine(value) or type(vars(twin)[name]) is not type(value)


def _is_given(value: Any, own: set[int]) -> bool:
    """Whether a value is a function of others, which no layer has made of its own parts."""
    if not callable(value) or isinstance(value, type) or _library(value) == "keras":
        return False
    if isinstance(value, _WITH_STATE) or hasattr(value, "variables"):
        return False
    return not _reaches(value, own, set())


def _reaches(value: Any, own: set[int], seen: set[int]) -> bool:
    """Whether a function or what it is made of leads to one of a layer's parts."""
    if id(value) in own:
        return True
    if id(value) in seen or isinstance(value, type) or inspect.ismodule(value):
        return False
    seen.add(id(value))
    if isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, list | tuple | set):
        parts = list(value)
    elif callable(value):
        parts = [getattr(value, name, None) for name in ("__self__", "__wrapped__", "func")]
        parts += [getattr(value, name, None) for name in ("args", "keywords", "__dict__")]
        for cell in getattr(value, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # an empty cell
                parts.append(cell.cell_contents)
    else:
        return False
    return any(_reaches(part, own, seen) for part in parts if part is not None)


def _library(value: Any) -> str:
    module = getattr(value, "__module__", None) or type(value).__module__
    return str(module).split(".")[0]
