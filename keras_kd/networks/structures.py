"""What a model is given: arrays, alone or in lists and dicts, or a source of batches."""

from typing import Any

import keras

__all__ = ["are_arrays"]


def are_arrays(x: Any) -> bool:
    """Whether `x` holds arrays or tensors, not a source of batches."""
    return all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x))
