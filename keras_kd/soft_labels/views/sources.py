"""Where the samples come from: arrays, or a tf.data pipeline in a stable order."""

import hashlib
from typing import Any

import keras
import numpy as np

from keras_kd._errors import check_lengths, refusal, wrong

__all__ = ["HEAD", "NEIGHBOURS", "Arrays", "Stream", "description", "source"]

# So many samples stand for a pipeline, which cannot be read at random.
HEAD = 64
# Mixing partners within a pipeline come from so many neighbours.
NEIGHBOURS = 256
# Arrays of more bytes than this are known by a part of their samples.
_HASHED_WHOLE = 2**30


class Arrays:
    """An array, or a dict or list of arrays, with the samples along the first axis.

    Args:
        x: The input of student and teacher.
    """

    kind, fixed = "arrays", True

    def __init__(self, x: Any):
        # tf.data would make one tensor of a list.
        self.x = keras.tree.lists_to_tuples(keras.tree.map_structure(_as_array, x))
        sizes = map(len, keras.tree.flatten(self.x))
        self.samples = check_lengths("data", sizes, "Pass arrays with one row per sample")
        self.pairing = self.samples

    @property
    def spec(self) -> list[str]:
        """What a sample looks like, by leaf."""
        return _specs(self.x, lambda leaf: _spec(leaf.shape[1:], leaf.dtype))

    def take(self, ids: np.ndarray) -> Any:
        """Returns the samples of some ids."""
        return keras.tree.map_structure(lambda leaf: leaf[ids], self.x)

    def head(self, count: int = HEAD) -> list[Any]:
        """Returns the first samples, one by one."""
        return [self.take(i) for i in range(min(count, self.samples))]

    def evenly_chosen(self, count: int) -> np.ndarray:
        """Returns the ids of some samples, evenly spread."""
        return np.unique(np.linspace(0, self.samples - 1, count).astype(int))

    def digest(self) -> str:
        """Returns a hash of all samples, beyond a gigabyte of every n-th of them."""
        leaves = keras.tree.flatten(self.x)
        step = -(-sum(leaf.nbytes for leaf in leaves) // _HASHED_WHOLE)
        digest = hashlib.sha256()
        for leaf in leaves:
            for start in range(0, self.samples, 1024 * step):
                _update(digest, leaf[start : start + 1024 * step : step])
        return digest.hexdigest()


class Stream:
    """An unbatched tf.data pipeline that gives the same samples in the same order each time.

    Args:
        dataset: Elements `x`, `(x, y)` or `(x, y, sample_weight)`.
        samples: Their number, where it is known from before.
    """

    kind = "a dataset"
    pairing = NEIGHBOURS

    def __init__(self, dataset: Any, samples: int | None = None):
        spec = dataset.element_spec
        self.labelled = isinstance(spec, tuple)
        _check_element(spec)
        self.dataset = dataset
        self._head: list[Any] = []
        self.inputs = dataset.map(lambda x, *_: x) if self.labelled else dataset
        cardinality = int(dataset.cardinality())
        if cardinality == -1:
            raise wrong("data", "have an end", dataset, mend="Leave repeat() out")
        self.samples = cardinality if cardinality >= 0 else samples or self._count()
        if not self.samples:
            mend = "Look at len(list(dataset.take(1)))"
            raise wrong("data", "hold at least one sample", dataset, mend=mend)

    def _count(self) -> int:
        return int(self.dataset.reduce(np.int64(0), lambda count, *_: count + 1))

    @property
    def fixed(self) -> bool:
        """Whether all samples have one shape."""
        specs = keras.tree.flatten(self.inputs.element_spec)
        return all(spec.shape.is_fully_defined() for spec in specs)

    @property
    def spec(self) -> list[str]:
        """What a sample looks like, by leaf."""
        return _specs(
            self.inputs.element_spec,
            lambda spec: _spec(spec.shape, spec.dtype.as_numpy_dtype),
        )

    def take(self, ids: np.ndarray) -> Any:
        """Returns samples near the beginning, because the pipeline is read up to them."""
        samples = self.head(int(ids.max()) + 1)
        return keras.tree.map_structure(
            lambda *leaves: np.stack(leaves), *(samples[i] for i in ids)
        )

    def head(self, count: int = HEAD) -> list[Any]:
        """Returns the first samples, one by one."""
        if len(self._head) < count:
            self._head = list(self.inputs.take(count).as_numpy_iterator())
        return self._head[:count]

    def evenly_chosen(self, count: int) -> np.ndarray:
        """Returns the ids of the first samples: others would have to be waited for."""
        return np.arange(min(count, self.samples))

    def check_order(self) -> None:
        """Raises where the pipeline gives other samples when it is read again."""
        first, self._head = self.head(), []
        again = self.head()
        pairs = zip(keras.tree.flatten(first), keras.tree.flatten(again))
        if not first or len(first) != len(again) or not all(np.array_equal(a, b) for a, b in pairs):
            raise refusal(
                "data must give the same samples in the same order each time",
                expected="a dataset without shuffle and without random operations",
                received="other samples at the second reading",
                mend="Shuffle after soft.attach(dataset), and let augment= draw what is random",
            )

    def digest(self) -> None:
        """Returns nothing: a pipeline is not read whole before its first use."""


def source(data: Any, samples: int | None = None) -> Arrays | Stream:
    """Returns what `data` is.

    Args:
        data: Arrays, an unbatched `tf.data.Dataset`, or a TFDS builder, of which the split
            `"train"` is read.
        samples: The number of samples in a dataset, where it is known.

    Raises:
        TypeError: If it is something else.
    """
    if hasattr(data, "as_dataset"):
        supervised = getattr(data.info, "supervised_keys", None) is not None
        data = data.as_dataset(split="train", shuffle_files=False, as_supervised=supervised)
    if hasattr(data, "element_spec"):
        return Stream(data, samples)
    if isinstance(data, tuple):
        data = data[0]
    return Arrays(data)


def description(data: Arrays | Stream) -> dict[str, Any]:
    """Returns what tells data from others, in JSON's types."""
    head = hashlib.sha256()
    for leaf in keras.tree.flatten(data.head()):
        _update(head, leaf)
    return {"sample": data.spec, "head": head.hexdigest(), "all": data.digest()}


def _as_array(leaf: Any) -> np.ndarray:
    leaf = leaf.to_numpy() if hasattr(leaf, "to_numpy") else leaf  # a frame of pandas
    is_array = hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    if not is_array or not len(leaf.shape):
        raise refusal(
            "data must be arrays, an unbatched tf.data.Dataset or a TFDS builder",
            expected="e.g. x_train, or builder.as_dataset(split='train')",
            received=f"{type(leaf).__name__}",
            mend="Make arrays or a tf.data.Dataset of what generators and PyDatasets give",
            error=TypeError,
        )
    return leaf if isinstance(leaf, np.ndarray) else np.asarray(leaf)


def _check_element(spec: Any) -> None:
    if isinstance(spec, tuple) and len(spec) > 3:
        raise refusal(
            "data must give x, (x, y) or (x, y, sample_weight)",
            received=f"{len(spec)} parts",
            mend="Put several inputs into a dict: dataset.map(lambda a, b, y: ({...}, y))",
        )
    unknown = [leaf for leaf in keras.tree.flatten(spec) if leaf.shape.rank is None]
    if unknown:
        raise refusal(
            "data must have samples of a known rank",
            expected="shapes such as (None, None, 3)",
            received=f"{unknown[0]}",
            mend="Give from_generator an output_signature=, or use tf.ensure_shape",
        )


def _specs(structure: Any, described: Any) -> list[str]:
    """Returns what leaves look like, after their names where they have some."""
    if isinstance(structure, dict):
        return [f"{name}: {described(structure[name])}" for name in sorted(structure)]
    return [described(leaf) for leaf in keras.tree.flatten(structure)]


def _spec(shape: Any, dtype: Any) -> str:
    return f"{np.dtype(dtype).name} {tuple(shape)}"


def _update(digest: Any, leaf: Any) -> None:
    leaf = np.asarray(leaf)
    digest.update(repr(leaf.tolist()).encode() if leaf.dtype.kind in "OSU" else leaf.tobytes())
