"""The temperature that softens a teacher's answers to a certain mean confidence."""

import numpy as np

CONFIDENCE = 0.8
_HIGHEST = 100.0


def confidence(logits: np.ndarray, temperature: float, head: str = "softmax") -> float:
    """Returns the mean of the largest probability of each answer at a temperature.

    Args:
        logits: Array `(..., classes)`.
        temperature: The temperature.
        head: `"softmax"`, or `"sigmoid"`, where each class is an answer of its own: yes or no.
    """
    z = np.asarray(logits, "float64") / temperature
    if head == "sigmoid":
        return float(np.mean(1 / (1 + np.exp(-np.abs(z)))))
    return float(np.mean(1 / np.exp(z - z.max(-1, keepdims=True)).sum(-1)))


def temperature_of(logits: np.ndarray, target: float = CONFIDENCE, head: str = "softmax") -> float:
    """Returns the temperature, at least 1, at which answers have a mean confidence.

    Args:
        logits: Array `(..., classes)`.
        target: The mean confidence.
        head: As in `confidence`.
    """
    low, high = 1.0, _HIGHEST
    if confidence(logits, low, head) <= target:
        return low
    for _ in range(50):
        middle = (low * high) ** 0.5
        if confidence(logits, middle, head) > target:
            low = middle
        else:
            high = middle
    return (low * high) ** 0.5
