"""How far a file's answers are from Keras', measured by how much Keras' own answers differ."""

import math

import numpy as np

__all__ = ["spread_error"]

# Answers that differ by less than this share of their size do so by float32's own rounding.
_ROUNDING = 1e-5
# The step of a quantised probability: no byte tells two of them apart that are closer.
_PROBABILITY_STEP = 1 / 256


def spread_error(want: np.ndarray, got: np.ndarray, probabilities: bool) -> float | None:
    """Returns `||got - want|| / ||want - mean over samples||`, 1 for a file that gives the mean.

    The 1 % of the samples that lie farthest from the median, at least one, are left out: a single
    outlier would hide what happens to all others.

    Args:
        want: The Keras model's answers, one row for each sample.
        got: The file's.
        probabilities: Whether the output ends in a softmax or sigmoid, whose answers count as
            1/256 apart where they are closer.

    Returns:
        The error, `None` if the Keras model gives all samples the same answer.
    """
    samples = len(want)
    distances = np.linalg.norm((want - np.median(want, axis=0)).reshape(samples, -1), axis=1)
    kept = np.argsort(distances, kind="stable")[: samples - math.ceil(samples / 100)]
    if not len(kept):
        return None
    want, got = want[kept], got[kept]
    spread = np.linalg.norm(want - want.mean(axis=0))
    if spread <= _ROUNDING * np.linalg.norm(want):
        return None
    least = _PROBABILITY_STEP * math.sqrt(want.size) if probabilities else 0.0
    return float(np.linalg.norm(got - want) / max(spread, least))
