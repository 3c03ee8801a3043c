"""How the graph of a model ends: what kind of head, and where its logits are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd import _keras
from keras_kd._errors import refusal
from keras_kd.networks import linear_ends
from keras_kd.networks.stand_ins import LikeIdentity, LikeItsLayer, seen_through
from keras_kd.networks.tapped_graph import Call, stood_for

__all__ = ["UNKNOWN", "Cuts", "Trace", "known_name", "trace", "with_logits"]

_ACTIVATIONS = {  # names of functions of Keras, TensorFlow and JAX
    "linear": "logits",
    "log_softmax": "logits",
    "log_softmax_v2": "logits",
    "softmax": "softmax",
    "softmax_v2": "softmax",
    "sigmoid": "sigmoid",
}
_LIBRARIES = ("keras", "tensorflow", "jax")
_OPERATIONS = {"LogSoftmax": "logits", "Softmax": "softmax", "Sigmoid": "sigmoid"}
_SAME_VALUES = (keras.layers.Identity, keras.layers.Reshape, keras.layers.Flatten)
_AFFINE = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
# Wrappers around such a layer.
_AROUND = (keras.layers.TimeDistributed, LikeItsLayer)

Cuts = dict[Any, list[Any] | keras.Model]  # by the node or the nested model that was rebuilt


@dataclass(frozen=True)
class Trace:
    """What the graph shows of one output.

    `cut(cuts)` returns the symbolic output and the logits before it, both rebuilt; `cuts` remembers
    what has been rebuilt, so that outputs share it. `None` where output and logits are the same
    tensor.
    """

    kind: str | None
    cut: Callable[[Cuts], list[Any]] | None = None


UNKNOWN = Trace(None)


def with_logits(
    name: str, inputs: Any, outputs: Any, traces: list[Trace], signals: Sequence[Any] = ()
) -> keras.Model:
    """Returns a model that gives the list of the outputs, then the logits of each.

    After them come the signals, symbolic tensors of the same graph.

    Raises:
        ValueError: If a part of the graph would have to run twice for it.
    """
    cuts: Cuts = {}
    pairs = [
        trace.cut(cuts) if trace.cut else [tensor, tensor]
        for trace, tensor in zip(traces, keras.tree.flatten(outputs))
    ]
    signals = [_after_a_cut(signal, cuts) for signal in signals]
    tapped = keras.Model(
        inputs,
        [*(pair[0] for pair in pairs), *(pair[1] for pair in pairs), *signals],
        name=f"{name}_with_logits",
    )
    _check_runs_once(tapped)
    return tapped


def _after_a_cut(signal: Any, cuts: Cuts) -> Any:
    """Returns what the layer of a signal gives where it has been rebuilt, else the signal."""
    operation, node, index = _keras.origin(signal)
    if node not in cuts:
        return signal
    return cuts[node][0 if isinstance(operation, Call) else index]


def _check_runs_once(tapped: keras.Model) -> None:
    layers = [stood_for(operation) for operation in tapped.operations]
    rebuilt = {layer.name for layer in layers if layer.name.endswith("_with_logits")}
    for layer in layers:
        if isinstance(layer, keras.Model) and f"{layer.name}_with_logits" in rebuilt:
            raise refusal(
                f"The nested model {layer.name!r} must not end in a softmax or sigmoid and "
                "feed other layers, too, because it would run twice",
                expected="outputs of the nested model that are outputs of the whole",
                received=f"{layer.name!r} with outputs that other layers use",
                mend="Let it return logits, and add keras.layers.Softmax outside of it",
            )


def trace(tensor: Any) -> Trace:
    """Finds out how the graph ends at a symbolic output."""
    operation, node, index = _keras.origin(tensor)
    operation = stood_for(operation)
    if isinstance(operation, keras.Model):
        return _trace_model(operation, node, index)
    if isinstance(operation, LikeIdentity):
        return _trace_through(operation, node, tensor)
    operation = seen_through(wrapper := operation)
    if linear_ends.maps_to_logits(operation, node):
        return UNKNOWN if _takes_probabilities(node) else Trace("logits")
    if linear_ends.keeps_logits(operation, node, tensor):
        kinds = {trace(source).kind for source in node.input_tensors}
        if kinds == {"logits"}:
            return Trace("logits")
        exact = linear_ends.keeps_values(operation)
        return _trace_through(operation, node, tensor) if exact else UNKNOWN
    if not isinstance(operation, keras.layers.Layer):
        return _trace_function(operation, node, tensor)
    if not _keras.is_stock(operation):
        return Trace("logits") if getattr(operation, "gives_logits", False) else UNKNOWN
    if isinstance(operation, keras.layers.Softmax):
        return _trace_function(operation, node, tensor)
    if isinstance(operation, keras.layers.Activation):
        if operation.activation is keras.activations.linear:  # often only a cast to float32
            return _trace_through(operation, node, tensor)
        kind = _activation_kind(operation.activation)
        if kind not in ("softmax", "sigmoid"):
            return Trace(kind)
        return Trace(kind, lambda cuts: [tensor, node.input_tensors[0]])
    if isinstance(operation, _SAME_VALUES):
        return _trace_through(operation, node, tensor)
    return _trace_affine(wrapper, node)


def _takes_probabilities(node: _keras.Node) -> bool:
    """Whether a call is given a softmax or sigmoid, with no weights in between.

    Gates, attention and mixtures of experts are: what they give may be probabilities itself.
    """
    seen, waiting = set(), [node]
    while waiting:
        for source in waiting.pop().input_tensors:
            operation, before, _ = _keras.origin(source)
            if before in seen:
                continue
            seen.add(before)
            if trace(source).kind in ("softmax", "sigmoid"):
                return True
            if not getattr(operation, "variables", ()):
                waiting.append(before)
    return False


def _trace_function(operation: Any, node: _keras.Node, tensor: Any) -> Trace:
    """A softmax, sigmoid or log-softmax of its own, as a layer or as a function of keras.ops."""
    kind = _OPERATIONS.get(type(operation).__name__)
    last = getattr(operation, "axis", -1) in (-1, len(tensor.shape) - 1)
    if kind is None or not last:
        return UNKNOWN
    if kind == "logits":
        return Trace(kind)
    return Trace(kind, lambda cuts: [tensor, node.input_tensors[0]])


def _trace_through(operation: Any, node: _keras.Node, tensor: Any) -> Trace:
    """A layer that keeps the values: the head is what comes before, if the classes stay last."""
    source = node.input_tensors[0]
    if source.shape[-1] != tensor.shape[-1]:
        return UNKNOWN
    before = trace(source)
    if before.cut is None:
        return before

    def cut(cuts: Cuts) -> list[Any]:
        again = _keras.shallow_copy(operation)
        same_shape = isinstance(operation, keras.layers.Activation | LikeIdentity)
        same_shape = same_shape or not isinstance(operation, keras.layers.Layer)
        output, logits = before.cut(cuts)
        return [again(output), logits if same_shape else again(logits)]

    return Trace(before.kind, _remembered(node, cut))


def _trace_affine(layer: Any, node: _keras.Node) -> Trace:
    """A Dense or convolution with its activation inside, also one that runs at every time step."""
    inner = layer
    while isinstance(inner, _AROUND):
        inner = inner.layer
    if not isinstance(inner, _AFFINE) or not _keras.is_stock(inner):
        return UNKNOWN
    if getattr(inner, "data_format", None) == "channels_first":
        return UNKNOWN
    kind = _activation_kind(inner.activation)
    if kind not in ("softmax", "sigmoid"):
        return Trace(kind)

    def cut(cuts: Cuts) -> list[Any]:
        name = f"{layer.name}_with_logits_{len(cuts)}"
        return list(_WithLogits(layer, name)(node.input_tensors[0]))

    return Trace(kind, _remembered(node, cut))


def _trace_model(model: keras.Model, node: _keras.Node, index: int) -> Trace:
    graph = _keras.graph(model)
    if graph is None:
        return UNKNOWN
    traces = [trace(tensor) for tensor in keras.tree.flatten(graph[1])]
    if traces[index].cut is None:
        return traces[index]

    def rebuild(cuts: Cuts) -> list[Any]:
        if model not in cuts:  # it may be called at several nodes
            cuts[model] = with_logits(model.name, *graph, traces)
        return cuts[model](*node.args, **node.kwargs)

    def cut(cuts: Cuts) -> list[Any]:
        both = _remembered(node, rebuild)(cuts)
        return [both[index], both[len(traces) + index]]

    return Trace(traces[index].kind, cut)


def _remembered(node: _keras.Node, cut: Callable[[Cuts], list[Any]]) -> Callable[[Cuts], list[Any]]:
    def once(cuts: Cuts) -> list[Any]:
        if node not in cuts:
            cuts[node] = cut(cuts)
        return cuts[node]

    return once


def _activation_kind(activation: Any) -> str | None:
    if isinstance(activation, keras.layers.Softmax):
        return "softmax" if activation.axis == -1 else None
    return _ACTIVATIONS.get(known_name(activation))


def known_name(activation: Any) -> str | None:
    """Returns the name of an activation function of Keras or a backend; `None` of all others."""
    if (getattr(activation, "__module__", None) or "").split(".")[0] not in _LIBRARIES:
        return None
    return getattr(activation, "__name__", None)


class _WithLogits(keras.layers.Layer):
    """A layer's output and its value before the activation; the weights stay the layer's own."""

    def __init__(self, layer: keras.layers.Layer, name: str):
        super().__init__(name=name, dtype=layer.dtype_policy)
        self.affine, self.activation = _without_activation(layer)
        self.supports_masking = layer.supports_masking
        self.built = True

    def call(self, inputs: Any) -> tuple[Any, Any]:
        logits = self.affine(inputs)
        return self.activation(logits), logits

    def compute_mask(self, inputs: Any, previous_mask: Any) -> tuple[Any, Any]:
        return previous_mask, previous_mask


def _without_activation(layer: Any) -> tuple[keras.layers.Layer, Callable]:
    if layer.activity_regularizer is not None:
        raise refusal(
            f"The last layer {layer.name!r} must have no activity regularizer, because its "
            "activation is taken apart",
            expected="activity_regularizer=None",
            received=layer.activity_regularizer,
            mend="Let it give logits and add keras.layers.Activation with the regularizer after it",
        )
    twin = _keras.shallow_copy(layer)
    if isinstance(layer, _AROUND):
        twin.__dict__["layer"], activation = _without_activation(layer.layer)
    else:
        activation = layer.activation
        twin.__dict__["activation"] = keras.activations.linear
    return twin, activation
