"""Sample weights and masks, brought to the shape in which they multiply what they are meant for."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd import _keras, _torch
from keras_kd._errors import refusal
from keras_kd.networks.structures import by_name, replaced

__all__ = ["at_rank", "for_losses", "joint", "like_outputs", "of_values"]


def like_outputs(output: Any, names: Sequence[str], sample_weight: Any) -> Any:
    """Returns sample weights that Keras' losses multiply as they are meant.

    Weights by output come back in the output's structure, `None` for those without. Weights by
    example get an axis for each axis of positions, which Keras would take for the last one.

    Raises:
        ValueError: If they name an output that is not there.
    """
    if sample_weight is None:
        return None
    outputs, given = by_name(output, names), by_name(sample_weight, names)
    nested = isinstance(sample_weight, (dict, list, tuple))
    if nested and len(given) != len(sample_weight):
        raise refusal(
            "sample_weight must be given for all outputs at once, or by output",
            expected=f"a tensor, or a dict with keys among {list(names)}",
            received=keras.tree.map_structure(lambda w: tuple(w.shape), sample_weight),
            mend="Give each output its weights, by the output's name",
        )
    fitted = {name: _by_position(given.get(name), len(outputs[name].shape) - 1) for name in names}
    return replaced(output, names, fitted)


def for_losses(output: Any, names: Sequence[str], sample_weight: Any) -> Any:
    """Returns what `like_outputs` gave, for Keras' losses to multiply by the output's masks."""
    if sample_weight is None:
        return None
    outputs, given = by_name(output, names), by_name(sample_weight, names)
    own = {name: _torch.weights(given[name], _keras.keras_mask(outputs[name])) for name in names}
    return replaced(output, names, own)


def joint(names: Sequence[str], sample_weight: Any, alike: bool) -> Any:
    """Returns the weights of what belongs to no single output: the product of those by output.

    Args:
        names: The outputs' names.
        sample_weight: One tensor, or one by output.
        alike: Whether those by output are one tensor, repeated.
    """
    if not isinstance(sample_weight, (dict, list, tuple)):
        return sample_weight
    given = [w for w in by_name(sample_weight, names).values() if w is not None]
    if alike:
        return given[0]
    rank = max((len(weight.shape) for weight in given), default=0)
    product = None
    for weight in given:
        weight = at_rank(weight, rank)
        product = weight if product is None else product * ops.cast(weight, product.dtype)
    return product


def _by_position(weight: Any, rank: int) -> Any:
    return weight if weight is None or len(weight.shape) >= rank else at_rank(weight, rank)


def at_rank(weights: Any, rank: int) -> Any:
    """Returns weights or a mask with trailing axes of size 1 added, or dropped, to fit a rank."""
    weights = ops.convert_to_tensor(weights)
    while len(weights.shape) > rank and weights.shape[-1] == 1:
        weights = ops.squeeze(weights, axis=-1)
    while len(weights.shape) < rank:
        weights = ops.expand_dims(weights, axis=-1)
    return weights


def of_values(values: Any, weights: Any, what: str, term: str) -> Any:
    """Returns weights or a mask at the rank of a term's values.

    Raises:
        ValueError: If they are for other axes than the values have.
    """
    rank = len(values.shape)
    fitting = at_rank(weights, rank)
    sizes = zip(fitting.shape, values.shape)
    if len(fitting.shape) <= rank and all(a in (1, None, b) or b is None for a, b in sizes):
        return fitting
    raise refusal(
        f"{what} must fit term {term!r}, which gives one value per "
        f"{'example' if rank == 1 else 'position'}",
        expected=f"at most {rank} axes, of the sizes {tuple(values.shape)}",
        received=f"shape {tuple(fitting.shape)}",
        mend="Pass one weight per example; positions are left out by labels of -1",
    )
