"""Calls a function of arrays batch after batch, in batches of a fixed size where it has one."""

from collections.abc import Callable

import numpy as np

from keras_kd._errors import refusal

__all__ = ["Arrays", "in_batches"]

Arrays = dict[str, np.ndarray]
_CHUNK = 64  # samples, where any number is taken


def in_batches(
    function: Callable[[Arrays], Arrays], inputs: Arrays, batch_size: int | None
) -> Arrays:
    """Calls `function` on the samples of `inputs`, batch after batch, and joins what it returns.

    Args:
        function: Takes and returns arrays by name, the batch first.
        inputs: All samples.
        batch_size: The size of every batch: the last one is filled up with copies of its last
            sample, whose answers are dropped. `None` allows any size and no copies.

    Raises:
        ValueError: If an output does not have one row for each sample.
    """
    samples, step = len(next(iter(inputs.values()))), batch_size or _CHUNK
    joined: Arrays = {}
    for start in range(0, samples, step):
        batch = {name: array[start : start + step] for name, array in inputs.items()}
        count = min(step, samples - start)
        if batch_size and count < batch_size:
            batch = {name: _filled(array, batch_size) for name, array in batch.items()}
        for name, rows in function(batch).items():
            _require_rows(name, rows, batch_size or count)
            if name not in joined:
                joined[name] = np.empty((samples, *rows.shape[1:]), rows.dtype)
            joined[name][start : start + count] = rows[:count]
    return joined


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])


def _require_rows(name: str, rows: np.ndarray, count: int) -> None:
    if rows.shape[:1] != (count,):
        raise refusal(
            f"The output {name!r} must have one row for each sample",
            expected=f"shape ({count}, ...)",
            received=f"shape {rows.shape}",
            mend="Export a model without this output",
        )
