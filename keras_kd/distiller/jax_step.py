"""On JAX the teacher's weights are arguments of the compiled step, next to the batch.

Weights that a compiled function closes over would become its constants: compiled in, and deaf to a
teacher that is trained on between two calls of `fit`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras

from keras_kd import _keras

__all__ = ["Fed", "fed", "not_shared", "unpack"]


class Fed(NamedTuple):
    """A batch, and the values of the teacher's weights."""

    batch: Any
    weights: list[Any]


def fed(
    train_function: Callable, model: keras.Model, variables: Sequence[keras.Variable]
) -> Callable:
    """Wraps Keras' `train_function(state, iterator)`: each batch comes with the teacher's weights.

    A step that fails hands the state back, which Keras had taken from the model's variables.

    Args:
        train_function: The function, whose step knows a `Fed`.
        model: The model that is trained.
        variables: The teacher's own variables.
    """

    def step(state: Any, iterator: Iterator) -> Any:
        values = [variable.value for variable in variables]
        try:
            return train_function(state, (Fed(batch, values) for batch in iterator))
        except BaseException:
            _keras.hand_back(model, state)
            raise

    return step


def unpack(data: Any) -> tuple[Any, list[Any]]:
    """Returns the batch and the teacher's weights, none where it has not been fed."""
    return (data.batch, data.weights) if isinstance(data, Fed) else (data, [])


def not_shared(
    variables: Iterable[keras.Variable], others: Iterable[keras.Variable]
) -> list[keras.Variable]:
    """Returns the variables that are not among the others."""
    known = {id(variable) for variable in others}
    return [variable for variable in variables if id(variable) not in known]
