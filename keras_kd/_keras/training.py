"""How Keras trains: its compiled loss and metrics, added losses, and the state that JAX keeps."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras.src import backend
from keras.src.losses.loss import unscale_loss_for_distribution
from keras.src.trainers import compile_utils

from keras_kd import _torch
from keras_kd._keras.masks import keras_mask

__all__ = [
    "MetricsList",
    "added_losses",
    "compiled_loss",
    "compiled_metrics",
    "compiling_anew",
    "hand_back",
    "has_metrics",
    "losses_that_keras_drops",
    "set_untracked",
    "to_be_minimized",
    "unscaled",
    "up_to_date",
    "update_metrics",
    "without_metrics",
]

# Undoes the division by the number of replicas, for logging.
unscaled = unscale_loss_for_distribution
# Several metrics in one, into which Keras' callbacks look.
MetricsList = compile_utils.MetricsList


def set_untracked(layer: keras.layers.Layer, name: str, value: Any) -> None:
    """Sets an attribute that `layer` does not track; Keras has only a decorator for it."""
    object.__setattr__(layer, name, value)


def compiled_metrics(model: keras.Model) -> list[Any]:
    """Returns the metrics that `model` was compiled with, as they were given, in one list."""
    compiled = model._compile_metrics
    if compiled is None:
        return []
    given = compiled._user_metrics, compiled._user_weighted_metrics
    return [metric for metric in keras.tree.flatten(given) if metric is not None]


def has_metrics(model: keras.Model) -> bool:
    """Whether `model` was compiled with metrics."""
    return model._compile_metrics is not None


@contextlib.contextmanager
def compiling_anew(model: keras.Model) -> Iterator[None]:
    """Drops the last loss and metrics, which `compile(loss=None)` alone would keep.

    They come back if the compilation fails.
    """
    names = ("_compile_loss", "_compile_metrics", "loss")
    last = {name: getattr(model, name) for name in names}
    for name in names:
        set_untracked(model, name, None)
    try:
        yield
    except BaseException:
        for name, value in last.items():
            set_untracked(model, name, value)
        raise


def compiled_loss(model: keras.Model, y: Any, y_pred: Any, sample_weight: Any) -> Any:
    """Returns what `compile(loss=..., loss_weights=...)` makes of one batch, a scalar."""
    return model._compile_loss(y, y_pred, sample_weight)


def added_losses(model: keras.Model, others: Sequence[Any] = ()) -> list[Any]:
    """Returns the regularizers' and `add_loss` terms, scaled for the replicas as Keras does.

    `others` are what `losses_that_keras_drops` has collected.
    """
    return [model._aggregate_additional_loss(loss) for loss in [*model.losses, *others]]


@contextlib.contextmanager
def losses_that_keras_drops() -> Iterator[list[Any]]:
    """Collects what layers add that are called where Keras computes the loss.

    In JAX's step Keras listens to the model's own call alone. Elsewhere the layers keep their
    losses, `Model.losses` has them, and the list stays empty.
    """
    scope = backend.get_stateless_scope()
    if scope is None or scope.collect_losses:
        yield []
        return
    scope.collect_losses = True
    try:
        yield scope.losses
    finally:
        scope.collect_losses = False


def update_metrics(
    model: keras.Model, y: Any, output: Any, counted: Any, sample_weight: Any
) -> None:
    """Updates the compiled metrics, with weights also for those that Keras gives none.

    Args:
        model: A compiled model.
        y: The labels.
        output: The model's output.
        counted: The weights of `metrics`, in the output's structure.
        sample_weight: The weights of `weighted_metrics`, in the output's structure.
    """
    metrics = model._compile_metrics
    if metrics is None:
        return
    if not metrics.built:
        metrics.build(y, output)
    y, output = metrics._flatten_y(y), metrics._flatten_y(output)
    for group, weights in (
        (metrics._flat_metrics, counted),
        (metrics._flat_weighted_metrics, sample_weight),
    ):
        for metric, y_true, y_pred, weight in zip(group, y, output, metrics._flatten_y(weights)):
            if metric:
                metric.update_state(y_true, y_pred, _torch.weights(weight, keras_mask(y_pred)))


def to_be_minimized(metric: keras.metrics.Metric) -> keras.metrics.Metric:
    """Returns `metric`, of which callbacks now know that lower is better."""
    metric._direction = "down"
    return metric


@contextlib.contextmanager
def without_metrics(model: keras.Model) -> Iterator[None]:
    """Leaves the compiled metrics out of `get_metrics_result` for a while."""
    metrics = model._compile_metrics
    set_untracked(model, "_compile_metrics", None)
    try:
        yield
    finally:
        set_untracked(model, "_compile_metrics", metrics)


def up_to_date(model: keras.Model) -> None:
    """Brings the variables of `model` up to date, which JAX keeps to itself during an epoch.

    What is assigned to them after it acts on the next execution.
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def hand_back(model: keras.Model, state: Sequence[list]) -> None:
    """Has JAX's `fit` or `evaluate` put a state back into the variables that it was taken from."""
    if any(value.is_deleted() for value in keras.tree.flatten(state)):
        return  # the step has begun to use it up
    names = ["trainable", "non_trainable", "optimizer", "metrics"]
    if len(state) < len(names):
        names.remove("optimizer")  # an evaluation has none
    model._jax_state = {f"{name}_variables": values for name, values in zip(names, state)}
    model._jax_state_synced = False
