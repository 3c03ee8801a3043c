"""How sure a teacher is of its answers at a temperature."""

import numpy as np

__all__ = ["confidence", "tempered_confidence"]


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


def tempered_confidence(
    temperature: float,
    head: str = "softmax",
    *,
    logits: np.ndarray,
    kept: tuple[float, ...],
    tails: np.ndarray | None = None,
    averaged: bool = False,
) -> float:
    """Returns the confidence of answers that are stored for certain temperatures.

    It is exact at these. At others, what was stored for the nearest one stands in.

    Args:
        temperature: The temperature.
        head: As in `confidence`.
        logits: Of all classes, or of the top ones, the largest first, `(n, ..., classes)`.
        kept: The temperatures `t`.
        tails: Of top classes, the logarithms of the sum over the others of `exp(logit / t)`,
            `(n, ..., len(kept))`.
        averaged: Whether `logits` and `tails` have an axis of these temperatures after the first.
    """
    nearest = int(np.argmin(np.abs(np.log(kept) - np.log(temperature))))
    if averaged:
        logits, tails = logits[:, nearest], None if tails is None else tails[:, nearest]
    if tails is None:
        return confidence(logits, temperature, head)
    top, tail = np.asarray(logits, "float64"), np.asarray(tails, "float64")[..., nearest]
    others = np.exp((tail * kept[nearest] - top[..., 0]) / temperature)
    return float(np.mean(1 / (np.exp((top - top[..., :1]) / temperature).sum(-1) + others)))
