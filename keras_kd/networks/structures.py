"""What models take and give: tensors, alone or in lists and dicts, looked up by output name."""

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["are_arrays", "by_name", "replaced"]


def are_arrays(x: Any) -> bool:
    """Whether `x` holds arrays or tensors, not a source of batches."""
    return all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x))


def by_name(values: Any, names: Sequence[str]) -> dict[str, Any]:
    """Returns the values of the outputs by name; a single tensor belongs to all of them."""
    if not isinstance(values, (dict, list, tuple)):
        return dict.fromkeys(names, values)
    if len(names) == len(values) == 1:
        return dict(zip(names, keras.tree.flatten(values)))
    if isinstance(values, dict):
        return {name: values[name] for name in names if name in values}
    return dict(zip(names, values)) if len(values) == len(names) else {}


def replaced(values: Any, names: Sequence[str], new: dict[str, Any]) -> Any:
    """Returns the structure `values` with the values of some outputs replaced, by name."""
    if not isinstance(values, (dict, list, tuple)):
        return new.get(names[0], values)
    if isinstance(values, dict):
        keys = list(values) if len(names) == len(values) == 1 else names
        copy = values.copy()
        copy.update({key: new[name] for key, name in zip(keys, names) if name in new})
        return copy
    flat = [new.get(name, value) for name, value in zip(names, values)]
    # Those of a namedtuple are arguments.
    return type(values)(*flat) if hasattr(values, "_fields") else type(values)(flat)
