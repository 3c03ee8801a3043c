"""Scores from 0 to 100 of labels and a student's outputs."""

import numpy as np


def accuracy(y: np.ndarray, outputs: np.ndarray) -> float:
    """Returns the percentage of right top classes."""
    return 100 * float((outputs.argmax(-1) == y).mean())


def mean_precision(y: np.ndarray, outputs: np.ndarray) -> float:
    """Returns the mean over the labels of the average precision, in percent."""
    from sklearn.metrics import average_precision_score

    return 100 * float(average_precision_score(y, outputs, average="macro"))


def explained_variance(y: np.ndarray, outputs: np.ndarray) -> float:
    """Returns R², in percent."""
    return 100 * float(1 - ((y - outputs) ** 2).mean() / y.var())
