"""No channel of an output may be lost beside larger ones."""

from collections.abc import Mapping

import numpy as np

from keras_kd._errors import message
from keras_kd.export.verification.spread import spread_error
from keras_kd.export.verification.verify import VerificationError
from keras_kd.runtimes.batching import Arrays

__all__ = ["CHANNEL_TOLERANCE", "check"]

# A channel that has the same answer for all samples has an error of 1 or more. The rounding of one
# that reaches over two steps of a quantised output makes 0.5.
CHANNEL_TOLERANCE = 0.75
# Channels that vary by less than this share of the whole output do so by float32's own rounding.
_ROUNDING = 1e-6
_MOST_NAMED = 8


def check(
    expected: Arrays, actual: Arrays, heads: Mapping[str, str | None], tolerance: float
) -> float | None:
    """Returns the spread error of the worst channel of the last axis, or refuses the file.

    Args:
        expected: The Keras model's answers by output name, one row for each sample.
        actual: The file's.
        heads: The outputs' heads by name, see `outputs.Output`.
        tolerance: Relative RMS error allowed.

    Returns:
        The error, see `spread.spread_error`; `None` if no output has channels that vary.

    Raises:
        VerificationError: If an error is above 0.75, and above `tolerance`.
    """
    allowed, worst = max(CHANNEL_TOLERANCE, tolerance), []
    for name, want in expected.items():
        if want.dtype.kind != "f" or want.ndim < 2 or want.shape[-1] < 2:
            continue
        # Joined scores, whose head the graph does not show, count as probabilities, too.
        head, within = heads.get(name), want.min() >= 0 and want.max() <= 1
        are_shares = head in ("softmax", "sigmoid") or (head is None and within)
        errors = _errors(np.float64(want), np.float64(actual[name]), are_shares)
        lost = [channel for channel, error in errors.items() if error > allowed]
        if lost:
            raise _lost(name, lost, np.float64(want), max(errors.values()), allowed)
        worst += errors.values()
    return max(worst, default=None)


def _errors(want: np.ndarray, got: np.ndarray, probabilities: bool) -> dict[int, float]:
    """Returns the spread errors by channel, of those whose answers differ."""
    size = np.sqrt(np.mean(want**2))
    errors = {}
    for channel in range(want.shape[-1]):
        part = want[..., channel]
        if np.ptp(part) > _ROUNDING * size:
            error = spread_error(part, got[..., channel], probabilities)
            if error is not None:
                errors[channel] = error
    return errors


def _lost(
    name: str, channels: list[int], want: np.ndarray, error: float, allowed: float
) -> VerificationError:
    listed = ", ".join(map(str, channels[:_MOST_NAMED]))
    listed += f" and {len(channels) - _MOST_NAMED} others" * (len(channels) > _MOST_NAMED)
    lost = want[..., channels]
    return VerificationError(
        message(
            f"The exported file must keep every channel of the output {name!r}; no file was left",
            expected=f"an RMS error of at most {allowed:g} of the spread of each channel",
            received=f"{error:.3g} (1: one answer for all) in the channels {listed} of "
            f"{want.shape[-1]}, from {lost.min():.4g} to {lost.max():.4g} where the output reaches "
            f"from {want.min():.4g} to {want.max():.4g}",
            mend="Give them an output of their own, scale all channels to a like size, choose a "
            "wider quantization, or pass a tolerance above the error where they do not matter",
        )
    )
