"""What a result was made of, so that one of other code or settings is not taken for it."""

import ast
import functools
import hashlib
import inspect
import textwrap
from typing import Any

import keras

__all__ = ["digest"]


def digest(*parts: Any) -> str:
    """Returns a short hash of functions, losses and settings.

    Of functions the code counts, not its comments and layout, with the functions of the same module
    that it calls, what they close over and, in a `functools.partial`, what they are given.
    """
    return hashlib.sha256(repr([_read(part) for part in parts]).encode()).hexdigest()[:12]


def _read(value: Any, seen: tuple[Any, ...] = ()) -> Any:
    if isinstance(value, functools.partial):
        given = {name: _read(each, seen) for name, each in sorted(value.keywords.items())}
        return _read(value.func, seen), [_read(each, seen) for each in value.args], given
    if value in seen:
        return value.__name__
    if inspect.isfunction(value):
        seen = (*seen, value)
        closed = [_read(cell.cell_contents, seen) for cell in value.__closure__ or ()]
        return _code(value), closed, [_read(each, seen) for each in _called(value)]
    if isinstance(value, keras.losses.Loss):
        return sorted(value.get_config().items())
    return repr(value)


def _called(function: Any) -> list[Any]:
    """Returns the functions of its module that a function's code names."""
    known = [function.__globals__.get(name) for name in sorted(function.__code__.co_names)]
    return [f for f in known if inspect.isfunction(f) and f.__module__ == function.__module__]


def _code(function: Any) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)
