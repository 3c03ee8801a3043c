"""Every private name of Keras that keras_kd touches; `tests/test_keras.py` guards each."""

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops
from keras.src import backend
from keras.src.losses.loss import unscale_loss_for_distribution
from keras.src.trainers import compile_utils

from keras_kd import _torch

# Undoes the division by the number of replicas, for logging.
unscaled = unscale_loss_for_distribution
# Several metrics in one, into which Keras' callbacks look.
MetricsList = compile_utils.MetricsList


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
    return model.input, model.output


def all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Returns `model` and all layers in it, those within other layers, too."""
    return model._flatten_layers()


def seed_generators(model: keras.Model) -> list[keras.random.SeedGenerator]:
    """Returns what the layers of `model` draw their random numbers from, e.g. dropout's."""
    return [seed for layer in model._flatten_layers() for seed in layer._seed_generators]


def is_stock(layer: keras.layers.Layer) -> bool:
    """Whether Keras itself, not a subclass, computes what `layer` gives."""
    return _is_keras_code(type(layer).call)


def _is_keras_code(function: Any) -> bool:
    return function.__module__.split(".")[0] == "keras"


def origin(tensor: keras.KerasTensor) -> tuple[Any, Any, int]:
    """Returns the operation that made `tensor`, the node of that call and the tensor's place."""
    operation, node_index, tensor_index = tensor._keras_history
    return operation, operation._inbound_nodes[node_index], tensor_index


def nodes(tensors: Sequence[keras.KerasTensor]) -> list[Any]:
    """Returns the calls that lead to symbolic tensors, each after those that it needs."""
    order, seen = [], set()
    stack = [(origin(tensor)[1], False) for tensor in reversed(tensors)]
    while stack:
        node, its_needs_are_there = stack.pop()
        if its_needs_are_there:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((origin(tensor)[1], False) for tensor in reversed(node.input_tensors))
    return order


def call_number(node: Any) -> int:
    """Returns the place of a call among all calls of its operation, in any model."""
    return node.operation._inbound_nodes.index(node)


def input_again(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Returns a second input of a model, like the first in all."""
    layer = origin(tensor)[0]
    return keras.Input(
        batch_shape=tensor.shape,
        dtype=tensor.dtype,
        sparse=tensor.sparse,
        name=layer.name,
        optional=getattr(layer, "optional", False),
    )


def attention_kernels(layer: Any) -> dict[str, tuple]:
    """Returns the kernels' shapes of an attention layer's query, key, value and output, by name."""
    names = ("query", "key", "value", "output")
    return {name: tuple(getattr(layer, f"_{name}_dense").kernel.shape) for name in names}


# What attention layers make of their arguments before they compare them.
_PROJECTIONS = {name: f"_{name}_dense" for name in ("query", "key", "value")}


def projection_shapes(layer: Any, args: Any, kwargs: Any) -> dict[str, tuple]:
    """Returns the shapes of an attention layer's query, key and value at a call of it, by name.

    None for other layers.
    """
    shapes = {}
    for name, attribute in _PROJECTIONS.items():
        if not hasattr(layer, attribute):
            return {}
        source = _attended(layer, args, kwargs)[name]
        # Keras itself forgets the number of the tokens.
        heads = getattr(layer, attribute).compute_output_shape(source.shape)[-2:]
        shapes[name] = (*source.shape[:-1], *heads)
    return shapes


def _attended(layer: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    given = inspect.signature(layer.call).bind(*args, **kwargs).arguments
    if given.get("key") is None:
        given["key"] = given["value"]
    return {name: given[name] for name in _PROJECTIONS}


def attend(layer: Any, args: Any, kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """Calls attention, also in a wrapper; returns its output, and the three parts by name.

    Each part has the mask of what it is made of, which the layer itself takes off.
    """
    twin, seen = shallow_copy(layer), {}
    core = shallow_copy(layer.layer) if isinstance(layer, keras.layers.Wrapper) else twin
    twin.__dict__.update({"layer": core} if core is not twin else {})
    masks = {name: keras_mask(source) for name, source in _attended(core, args, kwargs).items()}

    def recorded(name: str, projection: Any) -> Any:
        def call(inputs: Any) -> Any:
            projected = projection(inputs)
            seen[name] = masked(projected, masks[name])
            return projected

        return call

    for name, attribute in _PROJECTIONS.items():
        core.__dict__[attribute] = recorded(name, getattr(core, attribute))
    return twin(*args, **kwargs), seen


def shallow_copy(original: Any) -> Any:
    """Returns a second layer, on the same weights, operation or loss, without serializing it."""
    twin = object.__new__(type(original))
    twin.__dict__.update(original.__dict__)
    if isinstance(original, keras.Operation):
        twin.__dict__.update(_inbound_nodes=[], _outbound_nodes=[])
    return twin


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


def masked(tensor: Any, mask: Any) -> Any:
    """Returns a copy of `tensor` with the Keras mask `mask`."""
    copy = ops.copy(tensor)
    backend.set_keras_mask(copy, mask)
    return copy


def keras_mask(tensor: Any) -> Any:
    """Returns the mask that Keras' layers have passed on to `tensor`, or `None`."""
    return backend.get_keras_mask(tensor)


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
