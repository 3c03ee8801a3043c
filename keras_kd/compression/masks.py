"""Which weights of a kernel stay: the largest, one by one, in blocks, or of each few neighbours."""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

__all__ = ["block_sums", "largest", "of_each", "outputs_last", "taken", "units"]


def units(shape: Sequence[int], block: tuple[int, int] | None = None) -> int:
    """Returns how many weights a kernel has, or blocks of weights that go together."""
    if block is None:
        return math.prod(shape)
    return math.ceil(math.prod(shape[:-1]) / block[0]) * math.ceil(shape[-1] / block[1])


def taken(sparsity: float, size: int) -> int:
    """Returns how many of a kernel's weights or blocks are 0: never all, as nothing would pass."""
    return min(round(sparsity * size), size - 1)


def largest(kernel: Any, gone: Any, block: tuple[int, int] | None = None) -> Any:
    """Returns 1 where a kernel keeps its weights and 0 for those with the least magnitudes.

    Args:
        kernel: Tensor of two or more axes.
        gone: How many weights, or blocks, are 0: exactly as many, also where magnitudes are equal.
        block: Rows and columns that stay or go together, of the kernel as a matrix whose columns
            are its last axis. Blocks at the edge may be smaller.
    """
    magnitudes = ops.abs(kernel)
    if block is None:
        return ops.reshape(_upper_part(ops.reshape(magnitudes, (-1,)), gone), kernel.shape)
    sums, (height, width) = block_sums(magnitudes, block), block
    kept = ops.reshape(_upper_part(ops.reshape(sums, (-1,)), gone), sums.shape)
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


def outputs_last(kernel: Any, inputs_axis: int | None) -> Any:
    """Returns a kernel whose last axis are its outputs, or such a kernel's mask as it was."""
    is_turned = inputs_axis in (-1, len(kernel.shape) - 1)
    return ops.swapaxes(kernel, -1, -2) if is_turned else kernel


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


def _upper_part(values: Any, gone: Any) -> Any:
    # In whole numbers: float32 does not tell ranks apart from 2**24 on.
    return ops.cast(_ranks(values) >= ops.cast(gone, "int32"), values.dtype)


def _ranks(values: Any) -> Any:
    return ops.cast(ops.argsort(ops.argsort(values, axis=-1), axis=-1), "int32")
