"""Layer paths: from `"backbone/block3"` to a place in a model."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import refusal, wrong
from keras_kd.networks.models import check_model
from keras_kd.networks.stand_ins import seen_through
from keras_kd.networks.tapped_graph import Tap, with_call_numbers

__all__ = ["check_path", "ending_in", "find", "find_all", "paths", "signal_name", "walk"]

_PARTS = ("query", "key", "value")


def signal_name(path: str) -> str:
    """Returns the name of the signal at a layer path, which no output has."""
    return f"layer:{path}"


def check_path(path: Any, role: str) -> str:
    """Returns a layer path.

    Raises:
        TypeError: If it is not a string, or empty.
    """
    if isinstance(path, str) and path:
        return path
    name, expected = f"{role} of a Term", 'a string, e.g. "backbone/block3"'
    mend = "Pass the layer's name"
    raise wrong(name, "be a layer path", path, expected=expected, mend=mend, error=TypeError)


def find(model: keras.Model, path: str, role: str) -> Tap:
    """Returns the place that a layer path names.

    A path is a layer's name, preceded by those of the nested models around it:
    `"backbone/block3"`. Its end is enough where no other path ends so: `"block3"`. A layer that is
    called several times has a signal for each call, from `"shared:0"` on. The parts of an attention
    layer are `"att:query"`, `"att:key"` and `"att:value"`.

    Args:
        model: The model.
        path: The path.
        role: `"student"` or `"teacher"`, for messages.

    Raises:
        TypeError: If `path` is not a string.
        ValueError: If the model is subclassed, nothing or more than one thing has that name, or it
            is an input of the student.
    """
    graph, steps, part = _graph(model, check_path(path, role), role), [], None
    names = _full(model, path, role).split("/")
    # One name per nested model, from the outside in; each is looked up in the graph before.
    for place, name in enumerate(names):
        name, number, part = _split(name, _names(graph))
        if part and place < len(names) - 1:
            raise _unknown(model, path, role)
        node, number = _pick(model, graph, name, number, path, role)
        is_input = isinstance(node.operation, keras.layers.InputLayer)
        if is_input and place == 0 and role == "student":
            raise _nothing_learns(path)
        steps.append((name, number))
        if place < len(names) - 1:
            graph = _inside(model, node.operation, path, role)
    return _checked(Tap(tuple(steps), part), node, path, role)


def _full(model: keras.Model, path: str, role: str) -> str:
    """Returns the only path that ends in what was given; the given one where it is full."""
    known = paths(model)
    stem, part = path, ""
    if path.endswith(tuple(f":{each}" for each in _PARTS)):
        stem, _, part = path.rpartition(":")
        part = f":{part}"
    if path in known:
        stem, part = path, ""
    if stem in known or stem in map(_without_calls, known):
        return path
    found = ending_in(stem, known)
    if len(found) > 1:
        raise refusal(
            f"{role} of a Term must name one layer of {model.name!r}",
            expected=f"one of {[each + part for each in found]}",
            received=f"{path!r}, in which all of these end",
            mend="Add the names of the models around the layer, or the number of the call",
        )
    return found[0] + part if found else path


def ending_in(suffix: str, known: Iterable[str]) -> list[str]:
    """Returns the paths that end in whole names, with the numbers of calls or without."""
    return [
        path
        for path in known
        if f"/{path}".endswith(f"/{suffix}") or f"/{_without_calls(path)}".endswith(f"/{suffix}")
    ]


def _without_calls(path: str) -> str:
    return re.sub(r":\d+(?=/|$)", "", path)


def paths(model: keras.Model) -> list[str]:
    """Returns all paths of a model, in the order of the calls; none of a subclassed one.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If it is not built.
    """
    return [path for path, _ in walk(check_model(model, "model"))]


def walk(model: keras.Model, around: str = "") -> Iterator[tuple[str, Any]]:
    """Returns all paths of a model with their calls; those in a nested model before its own."""
    graph = _keras.graph(model)
    if graph is None:
        return
    calls = with_call_numbers(_keras.nodes(keras.tree.flatten(graph[1])))
    # Most layers are called once, and need no number in their path.
    repeated = {node.operation.name for node, number in calls if number}
    for node, number in calls:
        name = node.operation.name
        path = around + (f"{name}:{number}" if name in repeated else name)
        if isinstance(node.operation, keras.Model):
            yield from walk(node.operation, f"{path}/")
        yield path, node


def _split(name: str, known: set[str]) -> tuple[str, int | None, str | None]:
    """Parts a name from the call number and the attention part that follow it.

    Layers may have names that end like these themselves.
    """
    part = number = None
    if name not in known and name.endswith(tuple(f":{part}" for part in _PARTS)):
        name, _, part = name.rpartition(":")
    before, _, last = name.rpartition(":")
    if name not in known and before and last.isdecimal():
        name, number = before, int(last)
    return name, number, part


def _names(graph: Any) -> set[str]:
    return {node.operation.name for node in _keras.nodes(keras.tree.flatten(graph[1]))}


def _graph(model: keras.Model, path: str, role: str) -> Any:
    graph = _keras.graph(model)
    if graph is not None:
        return graph
    raise refusal(
        f"The {role}'s signal {path!r} must be in a graph, which the subclassed model "
        f"{model.name!r} does not show",
        expected="a model built from keras.Input",
        received=type(model).__name__,
        mend="Return the signal as an output, e.g. {'logits': ..., 'features': ...} from call, "
        "in both models, wrap each by keras.Model(inputs, model(inputs)), and pass "
        "Term(loss, output='features')",
    )


def _nothing_learns(path: str) -> ValueError:
    return refusal(
        "student of a Term must be the path of a layer after the input",
        received=f"{path!r}, an InputLayer",
        mend="Take a layer after it",
    )


def _inside(model: keras.Model, operation: Any, path: str, role: str) -> Any:
    if isinstance(operation, keras.Model):
        return _graph(operation, path, role)
    if len(list(_keras.all_layers(operation))) > 1:
        raise _opaque(operation, path, role)
    raise _unknown(model, path, role)


def _opaque(layer: keras.layers.Layer, path: str, role: str) -> ValueError:
    return refusal(
        f"{role} of a Term must name what the graph shows, which ends at a layer",
        expected=f"what the layer {layer.name!r} gives",
        received=f"{path!r}, something inside of the {type(layer).__name__}",
        mend=f"Compare what it gives, {role}={layer.name!r}, by a loss such as "
        "keras_kd.losses.Hint(), or build the block from keras.layers between keras.Input and "
        "the output",
    )


def _pick(
    model: keras.Model, graph: Any, name: str, number: int | None, path: str, role: str
) -> tuple[Any, int]:
    calls = with_call_numbers(_keras.nodes(keras.tree.flatten(graph[1])))
    named = {n: node for node, n in calls if node.operation.name == name}
    if not named or (number is not None and number not in named):
        raise _unknown(model, path, role)
    if number is None and len(named) > 1:
        raise refusal(
            f"The {role}'s path {path!r} must say which call of {name!r} it means",
            expected=f"one of {[f'{name}:{n}' for n in sorted(named)]}",
            received=f"{name!r}, which is called {len(named)} times",
            mend="Add the number of the call, from 0 on",
        )
    number = number or 0
    return named[number], number


def _unknown(model: keras.Model, path: str, role: str) -> ValueError:
    known = paths(model)
    last = path.split("/")[-1]
    close = [other for other in known if other.split("/")[-1] == last]
    close += [p for p in difflib.get_close_matches(path, known, n=5, cutoff=0.5) if p not in close]
    return refusal(
        f"{role} of a Term must be the path of a layer of {model.name!r}",
        expected=f"e.g. {close[:5] or known[-5:]}",
        received=repr(path),
        mend=_closest(path, known)
        or "Correct the path; keras_kd.taps.paths(model) lists all of them",
    )


def _closest(path: str, known: list[str]) -> str | None:
    """Returns what to write where the end of a path is right, but not the models around it."""
    names = path.split("/")
    for place in range(1, len(names)):
        suffix = "/".join(names[place:])
        if len(found := ending_in(suffix, known)) == 1:
            return (
                f"Write {suffix!r}, which names {found[0]!r} however Keras numbers the models "
                "around it"
            )
    return None


def _checked(tap: Tap, node: _keras.Node, path: str, role: str) -> Tap:
    """Returns the tap if there is one tensor at it."""
    arguments = node.args, node.kwargs
    if tap.part and tap.part not in _keras.projection_shapes(
        seen_through(node.operation), *arguments
    ):
        if _holds_attention(node.operation):
            raise _opaque(node.operation, path, role)
        raise refusal(
            f"{role} of a Term must have a {tap.part} only where there is attention",
            expected="a path to a MultiHeadAttention or GroupQueryAttention",
            received=f"{path!r}, a {type(node.operation).__name__}",
            mend=f"Leave ':{tap.part}' out",
        )
    if tap.part is None and len(node.outputs) != 1:
        raise refusal(
            f"{role} of a Term must be the path of a layer that gives one tensor",
            received=f"{path!r}, which gives {len(node.outputs)}",
            mend="Take a layer after it",
        )
    return tap


def _holds_attention(operation: Any) -> bool:
    """Whether there is attention inside of a layer, where the graph does not show it."""
    if not isinstance(operation, keras.layers.Layer):
        return False
    kinds = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    return any(isinstance(layer, kinds) for layer in _keras.all_layers(operation))


def find_all(model: keras.Model, wanted: Iterable[str], role: str) -> dict[str, Tap]:
    """Returns the places by path."""
    return {path: find(model, path, role) for path in wanted}
