"""Which weights of a kernel stay: the largest, one by one, in blocks, or of each few neighbours."""

import math
from typing import Any

from keras import ops

__all__ = ["block_sums", "largest", "of_each"]


def largest(kernel: Any, sparsity: Any, block: tuple[int, int] | None = None) -> Any:
    """Returns 1 where a kernel keeps its weights and 0 for the share with the least magnitudes.

    Of `n` weights or blocks, exactly `round(sparsity * n)` are 0, also where magnitudes are equal.

    Args:
        kernel: Tensor of two or more axes.
        sparsity: The share of weights, or of blocks, that is 0: a number from 0 to 1.
        block: Rows and columns that stay or go together, of the kernel as a matrix whose columns
            are its last axis. Blocks at the edge may be smaller.
    """
    magnitudes = ops.abs(kernel)
    if block is None:
        return ops.reshape(_upper_part(ops.reshape(magnitudes, (-1,)), sparsity), kernel.shape)
    sums, (height, width) = block_sums(magnitudes, block), block
    kept = ops.reshape(_upper_part(ops.reshape(sums, (-1,)), sparsity), sums.shape)
    spread = ops.repeat(ops.repeat(kept, height, axis=0), width, axis=1)
    rows, columns = math.prod(kernel.shape[:-1]), kernel.shape[-1]
    return ops.reshape(spread[:rows, :columns], kernel.shape)


def block_sums(magnitudes: Any, block: tuple[int, int]) -> Any:
    """Returns the sum of each block of a kernel's magnitudes, as a matrix."""
    rows, columns = math.prod(magnitudes.shape[:-1]), magnitudes.shape[-1]
    height, width = block
    down, across = math.ceil(rows / height), math.ceil(columns / width)
    padded = ops.pad(
        ops.reshape(magnitudes, (rows, columns)),
        ((0, down * height - rows), (0, across * width - columns)),
    )
    return ops.sum(ops.reshape(padded, (down, height, across, width)), axis=(1, 3))


def of_each(kernel: Any, kept: int, group: int, axis: int = -2) -> Any:
    """Returns 1 for the `kept` largest weights of each `group` neighbours and 0 for the others.

    Args:
        kernel: Tensor of two or more axes.
        kept: How many stay.
        group: Of how many.
        axis: Along which they follow each other: the input channels.
    """
    magnitudes = ops.moveaxis(ops.abs(kernel), axis, -1)
    size = magnitudes.shape[-1]
    missing = -size % group
    edges = [(0, 0)] * (len(magnitudes.shape) - 1) + [(0, missing)]
    padded = ops.pad(magnitudes, edges, constant_values=-1.0)
    groups = ops.reshape(padded, (*magnitudes.shape[:-1], -1, group))
    mask = ops.cast(_ranks(-groups) < kept, kernel.dtype)
    return ops.moveaxis(ops.reshape(mask, padded.shape)[..., :size], -1, axis)


def _upper_part(values: Any, share: Any) -> Any:
    gone = ops.round(ops.cast(share, "float32") * values.shape[0])
    return ops.cast(ops.cast(_ranks(values), "float32") >= gone, values.dtype)


def _ranks(values: Any) -> Any:
    return ops.argsort(ops.argsort(values, axis=-1), axis=-1)
