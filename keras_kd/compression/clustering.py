"""Clustered students: kernels of few different values."""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._errors import check_choice, check_integer
from keras_kd.compression.compressed import Compressed, KernelTransform
from keras_kd.compression.kernels import Kernel
from keras_kd.compression.students import check_student, transformed
from keras_kd.compression.unended import warn_of_unended

__all__ = ["Cluster", "cluster", "evenly", "kmeans"]

_ITERATIONS = 50
_PRUNED = 0.1  # the share of zeros from which they are no accident


def cluster(
    student: keras.Model,
    clusters: int = 16,
    *,
    start: str = "kmeans",
    skip: Sequence[str] = (),
) -> keras.Model:
    """Returns a copy of a student whose kernels have few different values each.

    Each weight reads as the centroid nearest to it. The gradient reaches both: the weight as if it
    were read itself (straight through), so that it may change its cluster, and the centroid as the
    mean over its members. In pruned kernels zeros stay 0, and 0 is one of the values.

    Frozen layers are clustered, too; their centroids stay where they begin. Of the constraints of
    kernels, `NonNeg` holds for the centroids; those of whole rows or columns, e.g. `UnitNorm`, hold
    for the weights before each reads as its centroid, and no longer after it.

    Args:
        student: A built Functional or Sequential model, or what `compression.prune` returned,
            best after its training. It stays as it is.
        clusters: Different values of each kernel, at least 2.
        start: Where the centroids begin: `"kmeans"` of the weights, or `"linear"`, evenly from the
            least to the largest.
        skip: Names or paths of layers to leave alone.

    Returns:
        A Keras model like any other, for a `keras_kd.Distiller` or plain `fit`;
        `compression.finish` makes the ordinary student of it.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is wrong, or the student has been clustered or quantised.

    Warns:
        UserWarning: If training has stopped in the middle of a pruning schedule, or kernels have
            zeros that no transform of `prune` keeps.

    Example:
    ```python
    student = keras_kd.compression.cluster(student, clusters=16)
    ```

    Reference:
    - [Han et al., 2016](https://arxiv.org/abs/1510.00149)
    """
    check_student(student, "cluster")
    clusters = check_integer("clusters", clusters, 2, example=16)
    check_choice("start", start, ("kmeans", "linear"))
    warn_of_unended(student, "Its centroids are those of kernels that will lose more weights.")

    sparse: list[str] = []

    def transform(layer: keras.layers.Layer, kernel: Kernel, calls: int) -> KernelTransform:
        values = ops.convert_to_numpy(kernel.variable)
        pruned = False
        if isinstance(layer, Compressed) and kernel.index in (found := layer.kernels()):
            values, pruned = ops.convert_to_numpy(found[kernel.index]), True
        elif np.mean(values == 0) >= _PRUNED:
            sparse.append(kernel.variable.path)
        values = values[values != 0] if pruned else values.ravel()
        count = clusters - pruned
        centroids = evenly(values, count)
        if start == "kmeans":
            centroids = kmeans(values, centroids)
        constraint = _of_single_weights(kernel.variable.constraint)
        made = Cluster(kernel.index, kernel.name, count, pruned, constraint)
        made.build(tuple(kernel.variable.shape))
        made.centroids.assign(centroids)
        return made

    clustered = transformed(student, "cluster", transform, skip)
    if sparse:
        warnings.warn(
            f"Clustering does not keep the zeros of {sparse}. Pass what compression.prune "
            "returned, before compression.finish has made an ordinary student of it.",
            stacklevel=2,
        )
    return clustered


def _of_single_weights(constraint: Any) -> Any:
    """Returns a constraint that centroids can have: they have no rows or columns."""
    return constraint if isinstance(constraint, keras.constraints.NonNeg) else None


def evenly(values: np.ndarray, count: int) -> np.ndarray:
    """Returns numbers at equal distances, from the least to the largest value."""
    return np.linspace(values.min(), values.max(), count) if values.size else np.zeros(count)


def kmeans(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Returns the centroids of k-means on numbers, from where they begin.

    Args:
        values: The numbers.
        centroids: Where the centroids begin, in ascending order.
    """
    values = np.sort(values.astype("float64"))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    for _ in range(_ITERATIONS):
        # Of sorted numbers each cluster is a slice, whose mean two sums give.
        ends = np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2)
        ends = np.concatenate([[0], ends, [len(values)]])
        sizes = np.diff(ends)
        means = np.diff(sums[ends]) / np.maximum(sizes, 1)
        moved = np.where(sizes > 0, means, centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


def _place(values: Any, bounds: Any) -> Any:
    """Returns how many of the sorted bounds are below each value."""
    try:
        return ops.searchsorted(bounds, values)
    except TypeError:  # Keras 3.8 on a tensor of a TensorFlow graph
        below = [ops.cast(values > bounds[n], "int32") for n in range(bounds.shape[0])]
        return sum(below, ops.zeros_like(values, "int32"))


@keras.saving.register_keras_serializable("keras_kd")
class Cluster(KernelTransform):
    """Replaces each weight by the nearest of a few trained centroids; see `cluster`.

    Args:
        index: The kernel's place among the layer's weights.
        kernel_name: The kernel's name.
        clusters: The number of centroids.
        keeps_zeros: Whether a weight of exactly 0 stays 0, as in pruned kernels.
        constraint: The constraint of the centroids, `None` for none.
    """

    method = "cluster"

    def __init__(
        self,
        index: int,
        kernel_name: str,
        clusters: int,
        keeps_zeros: bool = False,
        constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(index, kernel_name, **kwargs)
        self.clusters, self.keeps_zeros = clusters, keeps_zeros
        self.constraint = keras.constraints.get(constraint)

    def build(self, shape: Any) -> None:
        """Makes the centroids."""
        self.centroids = self.add_weight(
            shape=(self.clusters,),
            initializer="zeros",
            constraint=self.constraint,
            name="centroids",
        )
        self.built = True

    def call(self, kernel: Any, training: bool = False) -> Any:
        """Returns the kernel in values of the centroids."""
        centroids = ops.sort(ops.convert_to_tensor(self.centroids))
        fixed = ops.stop_gradient(centroids)
        between = (fixed[1:] + fixed[:-1]) / 2
        flat = ops.reshape(ops.stop_gradient(kernel), (-1,))
        nearest = _place(flat, between)
        if training:
            counted = ops.cast(flat != 0, flat.dtype) if self.keeps_zeros else ops.ones_like(flat)
            members = ops.segment_sum(counted, nearest, num_segments=self.clusters)
            # The gradient of a centroid is the mean over its members, not their sum.
            share = centroids / ops.maximum(members, 1.0)
            centroids = fixed + (share - ops.stop_gradient(share))
        snapped = ops.reshape(ops.take(centroids, nearest), kernel.shape)
        if training:
            snapped = snapped + (kernel - ops.stop_gradient(kernel))
        return ops.where(kernel == 0, 0.0, snapped) if self.keeps_zeros else snapped

    def fault(self, kernel: np.ndarray) -> str | None:
        """Says what is wrong with a kernel that is to be clustered, `None` if it is right."""
        most, found = self.clusters + self.keeps_zeros, len(np.unique(kernel))
        return f"{found} different values, not {most}" if found > most else None

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        own = {"clusters": self.clusters, "keeps_zeros": self.keeps_zeros}
        own["constraint"] = keras.constraints.serialize(self.constraint)
        return {**super().get_config(), **own}
