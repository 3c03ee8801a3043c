"""How many weights each kernel loses, so that all of them together lose a given share."""

from collections.abc import Hashable, Mapping

import numpy as np

__all__ = ["by_layers", "scores"]


def by_layers(magnitudes: Mapping[Hashable, np.ndarray], sparsity: float) -> dict[Hashable, float]:
    """Returns the share of each kernel's weights to be 0, by what it would do to its output.

    A kernel keeps more where few weights carry its output, and loses more where many weights carry
    little each. No kernel loses its largest weight.

    Args:
        magnitudes: The magnitudes of each kernel's weights, or of its blocks, by any key.
        sparsity: The share of all of them together, at least 0 and below 1.

    Reference:
    - [Lee et al., 2021](https://arxiv.org/abs/2010.07611) (LAMP)
    """
    every = []
    for values in magnitudes.values():
        found = scores(values)
        found[-1] = np.inf
        every.append(found)
    owners = np.repeat(np.arange(len(every)), [found.size for found in every])
    # By rank, not by a threshold, which many equal scores may share: those of zeros.
    order = np.argsort(np.concatenate(every), kind="stable")
    gone = min(round(sparsity * order.size), order.size - len(every))
    counts = np.bincount(owners[order[:gone]], minlength=len(every))
    return {key: float(n / found.size) for key, n, found in zip(magnitudes, counts, every)}


def scores(magnitudes: np.ndarray) -> np.ndarray:
    """Returns how much each weight matters beside those of its kernel that are left then.

    In ascending order: the square of each weight by the sum of the squares from it on.
    """
    squares = np.sort(magnitudes.ravel().astype("float64")) ** 2
    after = np.cumsum(squares[::-1])[::-1]
    return squares / np.maximum(after, np.finfo("float64").tiny)
