"""One input or output of a file, and arrays checked and scaled to fit it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._errors import check_lengths, refusal

__all__ = ["TensorInfo", "by_name"]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of an exported file.

    Args:
        name: Its name in the file's signature `"serve"`.
        shape: Its shape, the batch first. `None` stands for any size.
        dtype: NumPy name of what the file stores.
        scale: For a quantised tensor, `value = scale * (stored - zero_point)`; otherwise `None`.
        zero_point: See `scale`.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    @property
    def channels(self) -> int | None:
        """The number of color channels, `None` if it is not an image."""
        shape = self.shape
        image = len(shape) == 4 and shape[3] in (1, 3) and None not in shape[1:]
        return shape[3] if image else None

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Brings real values into the form that the file stores."""
        if self.scale is None:
            return values
        limits = np.iinfo(self.dtype)
        steps = np.round(values / self.scale) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Brings what the file stores back to real values."""
        if self.scale is None:
            return stored
        return ((stored.astype("float32") - self.zero_point) * self.scale).astype("float32")


def by_name(data: Any, tensors: Sequence[TensorInfo], what: str) -> dict[str, np.ndarray]:
    """Returns one checked array of real values for each tensor.

    Args:
        data: An array for a single tensor, a list in the order of `tensors`, or a dict by name.
        tensors: What the arrays must fit; each array holds any number of samples.
        what: The argument's name, for errors.

    Raises:
        ValueError: If the number of arrays, a shape, or a value is wrong.
        TypeError: If an array is not numeric.
    """
    arrays = {
        tensor.name: _checked(array, tensor, what)
        for tensor, array in zip(tensors, _flat(data, tensors, what))
    }
    check_lengths(what, map(len, arrays.values()), f"Cut the arrays of {what} to one length")
    return arrays


def _flat(data: Any, tensors: Sequence[TensorInfo], what: str) -> list[Any]:
    names = [tensor.name for tensor in tensors]
    if isinstance(data, Mapping):
        if set(data) == set(names):
            return [data[name] for name in names]
        received = f"a dict with the keys {sorted(map(str, data))}"
    elif isinstance(data, list | tuple):
        if len(data) == len(names):
            return list(data)
        received = f"a list of {len(data)}"
    elif len(names) == 1:
        return [data]
    else:
        received = f"one {type(data).__name__}"
    raise refusal(
        f"{what} must give one array for each input",
        expected=f"arrays for {names}",
        received=received,
        mend="Stack the samples: np.stack(samples)"
        if len(names) == 1
        else "Pass a dict of NumPy arrays by these names; a tuple stands for (x, y)",
    )


def _checked(data: Any, tensor: TensorInfo, what: str) -> np.ndarray:
    what = f"{what} for the input {tensor.name!r}"
    array = np.asarray(data)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise refusal(
            f"{what} must be a numeric array",
            received=f"{type(data).__name__} of dtype {array.dtype}",
            mend="Turn it into a NumPy array of numbers",
            error=TypeError,
        )
    sample = tensor.shape[1:]
    if array.ndim != len(tensor.shape) or any(
        size not in (None, got) for size, got in zip(sample, array.shape[1:])
    ):
        raise refusal(
            f"{what} must hold samples of the input's shape",
            expected=f"shape {('samples', *sample)}",
            received=f"shape {array.shape}",
            mend="Reshape it, the samples first",
        )
    return _cast(array, "float32" if tensor.scale is not None else tensor.dtype, what)


def _others(array: np.ndarray, cast: np.ndarray) -> str:
    """Says how many values break the rule of `_cast`, and which is the first."""
    broken = cast != array if cast.dtype.kind in "iub" else ~np.isfinite(cast)
    count, first = np.count_nonzero(broken), np.unravel_index(np.argmax(broken), array.shape)
    index = tuple(map(int, first))
    return f"{array.dtype} with {count} other values, first {array[index]} at {index}"


def _cast(array: np.ndarray, dtype: str, what: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype, copy=False)
    if cast.dtype.kind in "iub":
        kept, rule = np.array_equal(cast, array), f"whole numbers that fit {dtype}"
    else:
        kept, rule = bool(np.isfinite(cast).all()), f"finite numbers that fit {dtype}"
    if kept:
        return cast
    raise refusal(
        f"{what} must hold {rule}",
        received=_others(array, cast),
        mend="Remove or correct the samples that break the rule",
    )
