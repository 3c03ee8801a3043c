"""Does a model end in logits, softmax or sigmoid? Give me its logits."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd._errors import message

KINDS = ("logits", "softmax", "sigmoid")

_ACTIVATIONS = {  # by function name, so that tf.nn's and jax.nn's count too
    "linear": "logits",
    "log_softmax": "logits",
    "log_softmax_v2": "logits",
    "softmax": "softmax",
    "softmax_v2": "softmax",
    "sigmoid": "sigmoid",
}
_OPERATIONS = {"LogSoftmax": "logits", "Softmax": "softmax", "Sigmoid": "sigmoid"}
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


@dataclass(frozen=True)
class Head:
    """How one output of a model ends.

    Attributes:
        kind: `"logits"`, `"softmax"`, `"sigmoid"`, or `None` where nobody knows.
        shape: The output's symbolic shape with the batch axis, or `None` for subclassed models.
    """

    kind: str | None
    shape: tuple[int | None, ...] | None

    @property
    def classes(self) -> int | None:
        """The size of the last axis, where it is known."""
        return self.shape[-1] if self.shape else None


class LogitsModel:
    """A model together with the logits behind each of its outputs, in one forward pass.

    A softmax or sigmoid that Keras' graph shows is cut off: the logits are the tensor before it.
    Where only `head=` says that probabilities come out, they are inverted by a logarithm in
    float32, which reaches as far as the probability's own precision.

    The model itself is not changed; layers and weights are shared with it.

    Args:
        model: A built `keras.Model`.
        head: `None` to find the heads in the graph, or `"logits"`, `"softmax"`, `"sigmoid"` to
            overrule that, for all outputs or as a dict by output name.
        role: `"student"` or `"teacher"`, for messages.

    Attributes:
        names: Names of the outputs: `"output"` for a single tensor, the keys of a dict, the
            layers' names for a list.
        keyed: Whether the model returns a dict, so that its outputs are known by name.
        heads: Dict of `Head` by output name, in the order of the outputs.
    """

    def __init__(self, model: keras.Model, head: str | dict | None, role: str):
        self.model = model
        graph = _keras.graph(model)
        self._structure = graph[1] if graph else None
        self.names = _output_names(model, self._structure)
        self.keyed = isinstance(self._structure, dict)
        override = _check_override(head, self.names, role)
        flat = keras.tree.flatten(self._structure) if graph else [None]
        traces = [_trace(tensor) if graph else _Trace(None) for tensor in flat]
        self.heads = {
            name: Head(override.get(name, trace.kind), tensor.shape if graph else None)
            for name, tensor, trace in zip(self.names, flat, traces)
        }
        self._inverted = [
            head.kind in ("softmax", "sigmoid") and trace.kind != head.kind
            for head, trace in zip(self.heads.values(), traces)
        ]
        if role == "student" and any(self._inverted):
            _warn_of_inversion(self.heads, self._inverted)
        self._tapped = self._cut(graph, traces) if graph else None

    def _cut(self, graph: Any, traces: list["_Trace"]) -> keras.Model | None:
        """Rebuilds the end of the graph so that it gives outputs and logits; `None` if no need."""
        cuts = [
            trace.cut if head.kind == trace.kind else None
            for head, trace in zip(self.heads.values(), traces)
        ]
        if not any(cuts):
            return None
        pairs = [
            cut() if cut else (tensor, tensor)
            for cut, tensor in zip(cuts, keras.tree.flatten(graph[1]))
        ]
        outputs, logits = zip(*pairs)
        return keras.Model(graph[0], [*outputs, *logits], name=f"{self.model.name}_with_logits")

    def __call__(self, x: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Returns the model's output in its own structure, and a dict of logits by output name."""
        if self._tapped is None:
            output = self.model(x, training=training)
            flat = logits = keras.tree.flatten(output)
        else:
            both = self._tapped(x, training=training)
            flat, logits = both[: len(self.names)], both[len(self.names) :]
            output = keras.tree.pack_sequence_as(self._structure, flat)
        if len(flat) != len(self.names):
            raise ValueError(
                message(
                    f"The outputs of the subclassed model {self.model.name!r} must be one tensor",
                    expected="a tensor",
                    received=f"{len(flat)} tensors",
                    mend="Build models with several outputs from keras.Input, so that their "
                    "names are known",
                )
            )
        kinds = [head.kind for head in self.heads.values()]
        logits = [
            _invert(kind, z) if inverted else z
            for kind, inverted, z in zip(kinds, self._inverted, logits)
        ]
        return output, dict(zip(self.names, logits))


@dataclass(frozen=True)
class _Trace:
    """What the graph shows of one output.

    `cut()` returns the symbolic output and the logits before it; `None` where output and logits are
    the same tensor.
    """

    kind: str | None
    cut: Callable[[], tuple[Any, Any]] | None = None


def _trace(tensor: Any) -> _Trace:
    operation, node, index = _keras.origin(tensor)
    if isinstance(operation, keras.Model):
        return _trace_model(operation, node, index)
    if not isinstance(operation, keras.layers.Layer):
        return _trace_function(operation, node, tensor)
    if not _keras.is_stock(operation):
        return _Trace(None)
    if isinstance(operation, keras.layers.Softmax):
        return _trace_function(operation, node, tensor)
    if isinstance(operation, keras.layers.Activation):
        kind = _activation_kind(operation.activation)
        if kind == "logits":  # often only a cast to float32: what comes before it decides
            return _trace_through(operation, node)
        return _Trace(kind, lambda: (tensor, node.input_tensors[0]))
    if isinstance(operation, keras.layers.Identity):
        return _trace_through(operation, node)
    return _trace_affine(operation, node)


def _trace_function(operation: Any, node: Any, tensor: Any) -> _Trace:
    """A softmax, sigmoid or log-softmax of its own, as a layer or as a function of keras.ops."""
    kind = _OPERATIONS.get(type(operation).__name__)
    last = getattr(operation, "axis", -1) in (-1, len(tensor.shape) - 1)
    if kind is None or not last:
        return _Trace(None)
    if kind == "logits":
        return _Trace(kind)
    return _Trace(kind, lambda: (tensor, node.input_tensors[0]))


def _trace_through(operation: Any, node: Any) -> _Trace:
    before = _trace(node.input_tensors[0])
    if before.kind is None and isinstance(operation, keras.layers.Activation):
        return _Trace("logits")  # the author wrote a linear end
    if before.cut is None:
        return before

    def cut() -> tuple[Any, Any]:
        output, logits = before.cut()
        return operation(output), logits

    return _Trace(before.kind, cut)


def _trace_affine(layer: Any, node: Any) -> _Trace:
    """A Dense or convolution with its activation inside, also one that runs at every time step."""
    inner = layer.layer if isinstance(layer, keras.layers.TimeDistributed) else layer
    if not isinstance(inner, _AFFINE) or not _keras.is_stock(inner):
        return _Trace(None)
    kind = _activation_kind(inner.activation)
    if kind not in ("softmax", "sigmoid"):
        return _Trace(kind)

    def cut() -> tuple[Any, Any]:
        return _WithLogits(layer)(node.input_tensors[0])

    return _Trace(kind, cut)


def _trace_model(model: keras.Model, node: Any, index: int) -> _Trace:
    graph = _keras.graph(model)
    if graph is None:
        return _Trace(None)
    inner = _trace(keras.tree.flatten(graph[1])[index])
    if inner.cut is None:
        return inner

    def cut() -> tuple[Any, Any]:
        tapped = keras.Model(graph[0], list(inner.cut()), name=model.name)
        return tuple(tapped(*node.arguments.args, **node.arguments.kwargs))

    return _Trace(inner.kind, cut)


def _activation_kind(activation: Any) -> str | None:
    if isinstance(activation, keras.layers.Softmax):
        return "softmax" if activation.axis == -1 else None
    return _ACTIVATIONS.get(getattr(activation, "__name__", None))


class _WithLogits(keras.layers.Layer):
    """A layer's output and its value before the activation; the weights stay the layer's own."""

    def __init__(self, layer: keras.layers.Layer):
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
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
        raise ValueError(
            message(
                f"The last layer {layer.name!r} must have no activity regularizer, for its "
                "activation is taken apart",
                expected="activity_regularizer=None",
                received=layer.activity_regularizer,
                mend="Let the layer give logits and add keras.layers.Softmax or "
                "keras.layers.Activation with the regularizer after it",
            )
        )
    twin = _keras.shallow_copy(layer)
    if isinstance(layer, keras.layers.TimeDistributed):
        twin.__dict__["layer"], activation = _without_activation(layer.layer)
    else:
        activation = layer.activation
        twin.__dict__["activation"] = keras.activations.linear
    return twin, activation


def _invert(kind: str, probabilities: Any) -> Any:
    """Returns logits of probabilities, finite where a probability has underflowed to 0 or 1."""
    p = ops.cast(probabilities, "float32")
    if kind == "softmax":
        return ops.log(ops.maximum(p, 1e-37))
    return ops.log(ops.maximum(p, 1e-37)) - ops.log(ops.maximum(1.0 - p, 1e-7))


def _output_names(model: keras.Model, structure: Any) -> list[str]:
    if isinstance(structure, dict):
        # Keras flattens dicts by sorted key.
        return sorted(structure)
    count = len(keras.tree.flatten(structure)) if structure is not None else 1
    if count == 1:
        return ["output"]
    names = list(model.output_names)
    return names if len(set(names)) == count else [f"output_{i}" for i in range(count)]


def _check_override(head: Any, names: list[str], role: str) -> dict[str, str]:
    override = head if isinstance(head, dict) else {name: head for name in names if head}
    if set(override) <= set(names) and set(override.values()) <= set(KINDS):
        return override
    raise ValueError(
        message(
            f"{role}_head must name the end of the {role}'s outputs",
            expected=f"one of {KINDS}, or a dict of them by output name {names}",
            received=repr(head),
            mend=f"Pass e.g. {role}_head='logits', or leave it out for models built from "
            "keras.Input",
        )
    )


def _warn_of_inversion(heads: dict[str, Head], inverted: list[bool]) -> None:
    names = [name for name, yes in zip(heads, inverted) if yes]
    warnings.warn(
        f"The student's logits behind {names} are taken from the logarithm of its probabilities, "
        "since its graph does not show the layer before the activation. Where the student is "
        "certain beyond float32's precision it then learns nothing. Let the student return "
        "logits, or build it from keras.Input.",
        stacklevel=4,
    )
