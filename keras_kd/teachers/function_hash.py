"""What tells functions apart that share a name: their code, and what they read beside a batch."""

import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

__all__ = ["function_hash"]

_DEEPEST = 8  # of what a function reads
_PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes)


def function_hash(function: Any) -> str:
    """Returns a hash of what a function does, the same in each process of one version of Python.

    It reads the code, the defaults, and what the function closes over or takes from its module:
    numbers, text, arrays, layers with their weights, attributes of scikit-learn's estimators, and
    containers of such. Functions and objects of other modules count by their names.

    Args:
        function: A function, a `functools.partial`, a method, a layer or another object.
    """
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    home = getattr(inner, "__module__", None) or type(inner).__module__
    return hashlib.sha256(repr(_Reader(home).read(function, 0)).encode()).hexdigest()


class _Reader:
    """Turns what a function consists of into plain values.

    Args:
        home: The module whose functions and objects are looked into.
    """

    def __init__(self, home: str):
        self._home = home
        self._seen: dict[int, Any] = {}  # kept alive, so that no other object gets their ids

    def read(self, value: Any, depth: int) -> Any:
        """Returns plain values, whose `repr` tells values apart."""
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, np.generic):
            return _array(np.asarray(value))
        if depth > _DEEPEST or id(value) in self._seen:
            return type(value).__qualname__
        if isinstance(value, (list, tuple, Mapping, set, frozenset)):
            return self._container(value, depth + 1)
        self._seen[id(value)] = value
        return self._object(value, depth + 1)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            parts = [(self.read(k, depth), self.read(v, depth)) for k, v in value.items()]
        else:
            parts = [self.read(each, depth) for each in value]
        if isinstance(value, (set, frozenset)):  # whose order is another in each process
            parts = sorted(map(repr, parts))
        return type(value).__qualname__, parts

    def _object(self, value: Any, depth: int) -> Any:
        if isinstance(value, np.ndarray):
            return _array(value)
        if isinstance(value, types.CodeType):
            return value.co_code, value.co_names, self.read(value.co_consts, depth)
        if isinstance(value, types.FunctionType) and value.__module__ == self._home:
            return self._function(value, depth)
        if isinstance(value, functools.partial):
            return self.read([value.func, value.args, value.keywords], depth)
        if isinstance(value, types.MethodType):
            return self.read([value.__func__.__qualname__, value.__func__, value.__self__], depth)
        if isinstance(value, keras.layers.Layer):
            weights = [np.asarray(keras.ops.convert_to_numpy(w.value)) for w in value.weights]
            return self.read([type(value).__qualname__, value.get_config(), weights], depth)
        if keras.ops.is_tensor(value) or isinstance(value, keras.Variable):
            return self.read(np.asarray(keras.ops.convert_to_numpy(value)), depth)
        kind = type(value)
        if hasattr(value, "__dict__") and (
            kind.__module__ == self._home or hasattr(value, "get_params")
        ):
            return self.read([kind.__qualname__, vars(value), vars(kind).get("__call__")], depth)
        name = getattr(value, "__qualname__", getattr(value, "__name__", None))
        return f"{getattr(value, '__module__', None)} {name or kind.__qualname__}"

    def _function(self, function: types.FunctionType, depth: int) -> Any:
        code, known = function.__code__, function.__globals__
        cells = [_content(cell) for cell in function.__closure__ or ()]
        names = sorted(_names(code) & known.keys())
        taken = {name: known[name] for name in names}
        defaults = function.__defaults__, function.__kwdefaults__
        return self.read([code, defaults, cells, taken], depth)


def _names(code: types.CodeType) -> set[str]:
    """Returns the names that a function may take from its module, with those within it."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return {*code.co_names}.union(*map(_names, inner))


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a name that is not bound yet
        return None


def _array(array: np.ndarray) -> Any:
    if array.dtype.hasobject or array.dtype.names:  # addresses; bytes between the fields
        return "array", array.dtype.str, array.shape
    return "array", array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).hexdigest()
