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

    Of functions the code counts, not its comments and layout, with what they close over and, in a
    `functools.partial`, what they are given.
    """
    return hashlib.sha256(repr([_read(part) for part in parts]).encode()).hexdigest()[:12]


def _read(value: Any) -> Any:
    if isinstance(value, functools.partial):
        given = {name: _read(each) for name, each in sorted(value.keywords.items())}
        return _read(value.func), [_read(each) for each in value.args], given
    if inspect.isfunction(value):
        closed = [_read(cell.cell_contents) for cell in value.__closure__ or ()]
        return _code(value), closed
    if isinstance(value, keras.losses.Loss):
        return sorted(value.get_config().items())
    return repr(value)


def _code(function: Any) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)
