"""Pruned students: kernels in which the least weights are 0."""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._errors import check_choice
from keras_kd.compression import masks
from keras_kd.compression.allocation import by_layers
from keras_kd.compression.compressed import KernelTransform
from keras_kd.compression.kernels import Kernel, kernels_of
from keras_kd.compression.pruning_options import checked, kept_of
from keras_kd.compression.rebuilding import parts
from keras_kd.compression.students import check_student, skipped_paths, transformed

__all__ = ["Prune", "prune"]


def prune(
    student: keras.Model,
    sparsity: float | None = None,
    steps: int = 0,
    *,
    begin: int = 0,
    initial_sparsity: float = 0.0,
    every: int | None = None,
    allocation: str = "uniform",
    block: tuple[int, int] | None = None,
    pattern: str | None = None,
    skip: Sequence[str] = (),
) -> keras.Model:
    """Returns a copy of a student whose kernels lose their least weights while it trains.

    Each kernel is multiplied by a mask of 0 and 1. The sparsity grows from `initial_sparsity`
    after `begin` steps to `sparsity` after `begin + steps`:

        s(t) = sparsity + (initial_sparsity - sparsity) * (1 - (t - begin) / steps)**3

    With `allocation="lamp"` kernels lose shares of their own, found in the weights that `student`
    has now: for trained students at a high sparsity this is worth many points; see
    `docs/compression.md`.

    Masks follow the training step within the compiled step; no callback is needed. From the last
    step of the schedule on they stay as they are. Weights that a mask hides keep their values and
    may come back while the schedule runs. Each kernel keeps at least one weight, or block.

    A step is one call of the student in training. Where the optimizer waits for several, as with
    `gradient_accumulation_steps=4`, or the student is called several times in a step, pass `steps`,
    `begin` and `every` times as many.

    Frozen layers are pruned, too: their masks move, and what is left of them keeps its value. Name
    them in `skip` to leave them alone.

    Args:
        student: A built Functional or Sequential model. It stays as it is.
        sparsity: The share of the kernels' weights that is 0 in the end, at least 0 and below 1.
            May be left out where `pattern` says it.
        steps: Training steps over which the sparsity grows; 0 for all at once.
        begin: Training steps before the first weight goes.
        initial_sparsity: The sparsity at the beginning of the schedule.
        every: Steps between two updates of the masks; by default a hundredth of `steps`.
        allocation: `"uniform"` takes the same share from each kernel, `"lamp"` less from those
            whose weights matter more, the share of all together being the same. A `pattern` takes
            the same from each.
        block: `(rows, columns)` that stay or go together, of the kernel as a matrix whose columns
            are its outputs, e.g. `(1, 4)`.
        pattern: `"2:4"` keeps two of four neighbours along the input channels, or any `"n:m"`. It
            holds from the first step after `begin`; over `steps` it follows the weights. It leaves
            depthwise convolutions and embeddings alone, which do not sum over their inputs.
        skip: Names or paths of layers to leave alone.

    Returns:
        A Keras model like any other, for a `keras_kd.Distiller` or plain `fit`;
        `compression.finish` makes the ordinary pruned student of it.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is wrong, or the student has been compressed already.

    Warns:
        UserWarning: If `block` is at least as large as a kernel, which then keeps all its weights.

    Example:
    ```python
    student = keras_kd.compression.prune(student, sparsity=0.8, steps=2000)
    ```

    Reference:
    - [Zhu and Gupta, 2017](https://arxiv.org/abs/1710.01878) (the schedule)
    - [Lee et al., 2021](https://arxiv.org/abs/2010.07611) (LAMP)
    """
    check_student(student, "prune")
    check_choice("allocation", allocation, ("lamp", "uniform"))
    options = checked(sparsity, steps, begin, initial_sparsity, every, block, pattern)
    even = pattern is not None or allocation == "uniform"
    factors = {} if even else _factors(student, options, skip)
    whole = []

    def transform(layer: keras.layers.Layer, kernel: Kernel, calls: int) -> KernelTransform | None:
        if pattern is not None and kernel.inputs_axis is None:
            return None
        factor = factors.get((id(layer), kernel.index), 1.0)
        own = {name: factor * options[name] for name in ("sparsity", "initial_sparsity")}
        where = {"calls": calls, "axis": kernel.inputs_axis}
        if block is not None and _blocks(kernel, block) == 1:
            whole.append(layer.name)
        return Prune(kernel.index, kernel.name, **{**options, **own, **where})

    pruned = transformed(student, "prune", transform, skip)
    if whole:
        warnings.warn(
            f"Kernels that are a single block of {block} keep all their weights: those of "
            f"{sorted(set(whole))}. Pass a smaller block=, or name these layers in skip=.",
            stacklevel=2,
        )
    return pruned


def _blocks(kernel: Kernel, block: tuple[int, int]) -> int:
    """Returns how many blocks a kernel has."""
    return masks.units(masks.outputs_last(kernel.variable, kernel.inputs_axis).shape, block)


def _factors(
    student: keras.Model, options: dict[str, Any], skip: Sequence[str]
) -> dict[tuple[int, int], float]:
    """Returns how many times the whole's share each kernel loses, by layer and index."""
    skipped, magnitudes = skipped_paths(student, skip), {}
    for path, layer, _ in parts(student):
        for kernel in kernels_of(layer) if path not in skipped else ():
            sizes = _sizes(kernel.variable, options["block"], kernel.inputs_axis)
            magnitudes[id(layer), kernel.index] = sizes
    if not magnitudes or not options["sparsity"]:
        return {}
    shares = by_layers(magnitudes, options["sparsity"])
    return {key: share / options["sparsity"] for key, share in shares.items()}


def _sizes(kernel: Any, block: tuple[int, int] | None, inputs_axis: int | None) -> np.ndarray:
    """Returns the magnitudes of a kernel's weights, or of its blocks."""
    magnitudes = np.abs(ops.convert_to_numpy(kernel))
    if block is None:
        return magnitudes
    turned = masks.outputs_last(magnitudes, inputs_axis)
    return ops.convert_to_numpy(masks.block_sums(turned, block))


@keras.saving.register_keras_serializable("keras_kd")
class Prune(KernelTransform):
    """Multiplies a kernel by a mask that a schedule moves; see `prune`.

    Args:
        index: The kernel's place among the layer's weights.
        kernel_name: The kernel's name.
        sparsity: The final share of zeros.
        steps: Steps over which it grows.
        begin: Steps before the first weight goes.
        initial_sparsity: The share of zeros at the beginning of the schedule.
        every: Steps between two updates.
        block: Rows and columns that go together, or `None`.
        pattern: `"n:m"`, or `None`.
        calls: Calls of the layer in one training step.
        axis: The axis of the input channels, `None` where no sum runs over them.
    """

    method = "prune"

    def __init__(
        self,
        index: int,
        kernel_name: str,
        sparsity: float,
        steps: int = 0,
        begin: int = 0,
        initial_sparsity: float = 0.0,
        every: int = 1,
        block: Sequence[int] | None = None,
        pattern: str | None = None,
        calls: int = 1,
        axis: int | None = -2,
        **kwargs: Any,
    ):
        super().__init__(index, kernel_name, **kwargs)
        self.sparsity, self.steps, self.begin = sparsity, steps, begin
        self.initial_sparsity, self.every = initial_sparsity, every
        self.calls, self.axis = calls, axis
        self.block, self.pattern = tuple(block) if block else None, pattern

    def build(self, shape: Any) -> None:
        """Makes the mask, all ones, and the count of the calls in training."""
        kwargs = {"trainable": False, "aggregation": "only_first_replica"}
        self.mask = self.add_weight(
            shape=shape, initializer="ones", dtype="uint8", name="mask", **kwargs
        )
        self.called = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", name="called", **kwargs
        )
        self.built = True

    def call(self, kernel: Any, training: bool = False) -> Any:
        """Returns the kernel with zeros where the mask has them."""
        mask = ops.convert_to_tensor(self.mask)
        if training:
            mask = self._moved(kernel, mask)
        return ops.where(ops.cast(mask, "bool"), kernel, 0.0)  # a product has zeros of both signs

    def _moved(self, kernel: Any, mask: Any) -> Any:
        """Counts this call and updates the mask where the schedule says so."""
        called = ops.convert_to_tensor(self.called)
        # The first step is 1, so that the mask of the last step of the schedule is the final one.
        step = called // self.calls + 1 - self.begin
        last = max(self.steps, 1)
        due = (step % self.every == 0) | (step == 1) | (step == last)
        due = due & (step >= 1) & (step <= last) & (called % self.calls == 0)
        mask = ops.cond(
            due, lambda: ops.cast(self._mask_at(kernel, step), "uint8"), lambda: ops.copy(mask)
        )
        # Outside of the branches, where replicas may not assign.
        self.mask.assign(mask)
        self.called.assign(called + 1)
        return mask

    def _mask_at(self, kernel: Any, step: Any) -> Any:
        kernel = ops.stop_gradient(kernel)
        if self.pattern:
            return masks.of_each(kernel, *kept_of(self.pattern), self.axis)
        left = 1.0 - ops.cast(step, "float32") / max(self.steps, 1)
        kernel = masks.outputs_last(kernel, self.axis)
        size = masks.units(kernel.shape, self.block)
        # Exact at the last step, where nothing is left, also of counts beyond float32.
        back = ops.round((self.sparsity - self.initial_sparsity) * size * left**3)
        gone = masks.taken(self.sparsity, size) - ops.cast(back, "int32")
        return masks.outputs_last(masks.largest(kernel, gone, self.block), self.axis)

    def place(self) -> tuple[int, int]:
        """Returns how many steps of the schedule have been taken, and of how many."""
        steps = self.begin + max(self.steps, 1)
        return min(int(self.called) // self.calls, steps), steps

    def fault(self, kernel: np.ndarray) -> str | None:
        """Says what is wrong with a kernel that is to be pruned, `None` if it is right."""
        done, steps = self.place()
        if 0 < done < steps:
            return f"its schedule is at step {done} of {steps}"
        if self.pattern:
            kept, group = kept_of(self.pattern)
            rows = np.moveaxis(kernel != 0, self.axis, -1)
            rows = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, -rows.shape[-1] % group)])
            most = rows.reshape(*rows.shape[:-1], -1, group).sum(-1).max()
            return f"{most} of {group} neighbours are not 0" if most > kept else None
        sizes = _sizes(kernel, self.block, self.axis)  # smaller blocks at the edge count as much
        zeros = np.count_nonzero(sizes == 0)
        if zeros >= masks.taken(self.sparsity, sizes.size):
            return None
        what = "blocks" if self.block else "weights"
        return f"{zeros / sizes.size:.1%} of its {what} are 0, not {self.sparsity:.1%}"

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        names = ("sparsity", "steps", "begin", "initial_sparsity", "every", "block", "pattern")
        names += ("calls", "axis")
        return super().get_config() | {name: getattr(self, name) for name in names}
