"""What PyTorch needs and the other backends do not."""

import contextlib
from typing import Any

import keras
from keras import ops


def without_gradient() -> contextlib.AbstractContextManager:
    """Returns a scope that records nothing for a backward pass.

    PyTorch records everything that trainable parameters touch, the teacher's too; TensorFlow and
    JAX record only what they are asked to differentiate.
    """
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def weights(sample_weight: Any, mask: Any) -> Any:
    """Returns sample weights that Keras may multiply by a mask.

    On PyTorch Keras does that in place, and whoever used the same weights next would get others.

    Args:
        sample_weight: Weights of one output, or `None`.
        mask: The output's Keras mask, or `None`.
    """
    if keras.backend.backend() != "torch" or sample_weight is None or mask is None:
        return sample_weight
    sample_weight = ops.convert_to_tensor(sample_weight)
    if len(sample_weight.shape) == len(mask.shape):
        sample_weight = ops.broadcast_to(sample_weight, mask.shape)
    return ops.copy(sample_weight)
