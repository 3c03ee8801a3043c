"""What one call of `SoftLabels.write` asks for."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_kd._errors import check_choice, check_integer, check_number, is_integer, wrong
from keras_kd.soft_labels.augmentation.draws import check_seed
from keras_kd.soft_labels.storage.folder import path_of

__all__ = ["WriteOptions"]


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """The arguments of `SoftLabels.write` but for teacher and data.

    They check themselves, so that a mistake is told before a teacher is loaded or asked. Sizes
    come out as plain `int`s and `float`s, lists as tuples: the same call with NumPy's numbers makes
    the same manifest.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If one is out of range, or two contradict each other.
    """

    directory: str | os.PathLike[str] | Path | None
    augment: Any = None
    views: int = 1
    seed: int = 0
    top_k: int | None = None
    temperatures: Sequence[float] = (4.0,)
    dtype: str = "float16"
    signals: Sequence[str] = ()
    batch_size: int = 128
    shard: tuple[int, int] = (0, 1)
    verbose: int = 1

    def __post_init__(self):
        checked = {
            "directory": None if self.directory is None else path_of(self.directory),
            "views": check_integer("views", self.views, 1),
            "batch_size": check_integer("batch_size", self.batch_size, 1, example=128),
            "top_k": check_integer("top_k", self.top_k, 1, optional=True, example=10),
            "seed": check_seed(self.seed),
            "dtype": check_choice("dtype", self.dtype, ("float16", "float32")),
            "signals": _signals(self.signals),
            "temperatures": _temperatures(self.temperatures),
            "shard": _shard(self.shard),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)  # frozen from here on
        if self.directory is None and self.shard != (0, 1):
            rule = "be left out where the answers stay in memory"
            raise wrong("shard", rule, self.shard, expected="(0, 1)", example=(0, 1))
        if self.augment is None and self.views > 1:
            rule, mend = "be 1 without augment, which makes them differ", "augment=crop_flip"
            raise wrong("views", rule, self.views, expected="1", mend=f"Pass e.g. {mend}")


def _signals(signals: Any) -> tuple[str, ...]:
    is_list = isinstance(signals, Sequence) and not isinstance(signals, str)
    if is_list and all(isinstance(path, str) for path in signals):
        return tuple(signals)
    rule = "be a list of layer paths"
    raise wrong("signals", rule, signals, example=["pool"], error=TypeError)


def _temperatures(temperatures: Any) -> tuple[float, ...]:
    is_list = isinstance(temperatures, Sequence) and not isinstance(temperatures, str)
    if is_list and temperatures:
        return tuple(
            check_number(f"temperatures[{number}]", temperature, "above 0")
            for number, temperature in enumerate(temperatures)
        )
    rule = "be a list of numbers, at least one"
    raise wrong("temperatures", rule, temperatures, example=[4.0], error=TypeError)


def _shard(shard: Any) -> tuple[int, int]:
    is_pair = isinstance(shard, Sequence) and len(shard) == 2 and all(map(is_integer, shard))
    if is_pair and 0 <= shard[0] < shard[1]:
        return int(shard[0]), int(shard[1])
    expected = "two integers, a worker's number and how many there are"
    raise wrong("shard", "be (i, n) with 0 <= i < n", shard, expected=expected, example=(0, 4))
