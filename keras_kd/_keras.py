"""Every private name of Keras that keras_kd touches; `tests/test_keras_private.py` guards each."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras.src.losses.loss import unscale_loss_for_distribution

from keras_kd._errors import message


def graph(model: keras.Model) -> tuple[Any, Any] | None:
    """Returns the symbolic inputs and outputs that define `model`, in its own structure.

    `None` where the graph does not say what the model computes: subclassed models, and Functional
    or Sequential subclasses with a `call` of their own.
    """
    if not _is_keras_code(type(model).call):
        return None
    if isinstance(model, keras.Sequential):
        return (model.inputs[0], model.outputs[0]) if model.built else None
    if not hasattr(model, "_outputs_struct"):
        return None
    return model._inputs_struct, model._outputs_struct


def is_stock(layer: keras.layers.Layer) -> bool:
    """Whether Keras itself, not a subclass, computes what `layer` gives."""
    return _is_keras_code(type(layer).call)


def _is_keras_code(function: Any) -> bool:
    return function.__module__.split(".")[0] == "keras"


def origin(tensor: keras.KerasTensor) -> tuple[Any, Any, int]:
    """Returns the operation that made `tensor`, the node of that call and the tensor's place."""
    operation, node_index, tensor_index = tensor._keras_history
    return operation, operation._inbound_nodes[node_index], tensor_index


def shallow_copy(original: Any) -> Any:
    """Returns a second layer, on the same weights, or loss (`copy.copy` would serialize it)."""
    twin = object.__new__(type(original))
    twin.__dict__.update(original.__dict__)
    if isinstance(original, keras.layers.Layer):
        twin.__dict__.update(_inbound_nodes=[], _outbound_nodes=[])
    return twin


def set_untracked(layer: keras.layers.Layer, name: str, value: Any) -> None:
    """Sets an attribute that `layer` does not track; Keras has only a decorator for it."""
    object.__setattr__(layer, name, value)


def has_loss(model: keras.Model) -> bool:
    """Whether `model` was compiled with a loss."""
    return model._compile_loss is not None


def check_evaluable(model: keras.Model) -> None:
    """Raises where `model` was compiled with neither loss nor metrics."""
    if model.compiled and model._compile_loss is None and model._compile_metrics is None:
        raise ValueError(
            message(
                "evaluate must have something to compute",
                expected="a loss or metrics",
                received="a model compiled with neither",
                mend="Pass e.g. metrics=['accuracy'] to compile",
            )
        )


@contextlib.contextmanager
def compiling_anew(model: keras.Model) -> Iterator[None]:
    """Drops the last loss and metrics, which `compile(loss=None)` alone would keep.

    They come back if the compilation fails.
    """
    last = model._compile_loss, model._compile_metrics
    model._compile_loss = model._compile_metrics = None
    try:
        yield
    except BaseException:
        model._compile_loss, model._compile_metrics = last
        raise


def compiled_loss(model: keras.Model, y: Any, y_pred: Any, sample_weight: Any) -> Any:
    """Returns what `compile(loss=..., loss_weights=...)` makes of one batch, a scalar."""
    return model._compile_loss(y, y_pred, sample_weight)


def added_losses(model: keras.Model) -> list[Any]:
    """Returns the regularizers' and `add_loss` terms, scaled for the replicas as Keras does."""
    return [model._aggregate_additional_loss(loss) for loss in model.losses]


def unscaled(loss: Any) -> Any:
    """Undoes the division by the number of replicas, for logging."""
    return unscale_loss_for_distribution(loss)
