"""Does a model end in logits, softmax or sigmoid? Give me its logits."""

import copy
import warnings
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_kd import _keras
from keras_kd._errors import refusal, wrong
from keras_kd.networks import final_activation, tapped_graph, taps
from keras_kd.networks.ports import Port, output_names, ports

__all__ = ["KINDS", "Head", "LogitsModel", "invert"]

KINDS = ("logits", "softmax", "sigmoid")
_TINY = 1e-37  # what is smaller is flushed to 0 by some processors
_ZERO = 1e-7  # what a probability of 0 counts as


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
    """A model together with the logits of each of its outputs, in one forward pass.

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
        outputs: The outputs as `keras_kd.networks.ports.Port`s, in the order of `names`.
        heads: Dict of `Head` by output name, in the order of the outputs.
        inverted: Whether each output's logits come from its probabilities' logarithm, by name.
        signals: Shapes of the signals from the inside of the model, by name.
    """

    def __init__(self, model: keras.Model, head: str | dict | None, role: str):
        self.model, self._role = model, role
        self.signals: dict[str, tuple[int | None, ...]] = {}
        graph = _keras.graph(model)
        self._structure = graph[1] if graph else None
        self.names = _output_names(model, self._structure)
        self.keyed = isinstance(self._structure, dict)
        override = _check_override(head, self.names, role)
        flat = keras.tree.flatten(self._structure) if graph else [None]
        traces = [
            final_activation.trace(tensor) if graph else final_activation.UNKNOWN for tensor in flat
        ]
        self.heads = {
            name: Head(override.get(name, trace.kind), tensor.shape if graph else None)
            for name, tensor, trace in zip(self.names, flat, traces)
        }
        # What is alone has no need of a name, whatever its layer is called.
        alone = not self.keyed and len(self.names) == 1
        shape = next(iter(self.heads.values())).shape
        self.outputs = [Port("output", False, shape)] if alone else ports(self._structure)
        self.inverted = {
            name: head.kind in ("softmax", "sigmoid") and trace.kind != head.kind
            for (name, head), trace in zip(self.heads.items(), traces)
        }
        _warn_of_contradictions(role, override, dict(zip(self.names, traces)))
        if role == "student" and any(self.inverted.values()):
            _warn_of_inversion([name for name, yes in self.inverted.items() if yes])
        self._tapped = self._cut(graph, traces) if graph else None

    def with_taps(self, paths: Iterable[str]) -> "LogitsModel":
        """Returns one that gives the signals at these layer paths, too, in the same forward pass.

        Raises:
            TypeError: If a path is not a string.
            ValueError: If a path names nothing, or more than one thing.
        """
        found = taps.find_all(self.model, paths, self._role)
        twin = copy.copy(self)
        if found:
            inputs, outputs, signals = tapped_graph.with_taps(
                _keras.graph(self.model), found.values()
            )
            tensors = {taps.signal_name(path): signals[tap] for path, tap in found.items()}
            traces = [final_activation.trace(tensor) for tensor in keras.tree.flatten(outputs)]
            twin.signals = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
            twin._tapped = final_activation.with_logits(
                self.model.name, inputs, outputs, self._usable(traces), list(tensors.values())
            )
        return twin

    def _cut(self, graph: Any, traces: list[final_activation.Trace]) -> keras.Model | None:
        """Rebuilds the end of the graph so that it gives outputs and logits; `None` if no need."""
        used = self._usable(traces)
        if not any(trace.cut for trace in used):
            return None
        return final_activation.with_logits(self.model.name, *graph, used)

    def _usable(self, traces: list[final_activation.Trace]) -> list[final_activation.Trace]:
        """Returns the traces that agree with the heads, which may have been overruled."""
        return [
            trace if head.kind == trace.kind else final_activation.UNKNOWN
            for head, trace in zip(self.heads.values(), traces)
        ]

    def __call__(self, x: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Returns the model's output in its own structure, and a dict of logits and signals.

        The logits have the outputs' names, the signals those of `keras_kd.taps.signal_name`.
        """
        signals: list[Any] = []
        if self._tapped is None:
            output = self.model(x, training=training)
            flat = logits = keras.tree.flatten(output)
        else:
            both = self._tapped(x, training=training)
            count = len(self.names)
            flat, logits, signals = both[:count], both[count : 2 * count], both[2 * count :]
            output = keras.tree.pack_sequence_as(self._structure, flat)
        if len(flat) != len(self.names):
            raise refusal(
                f"The outputs of the subclassed model {self.model.name!r} must be one tensor",
                received=f"{len(flat)} tensors",
                mend="Build models with several outputs from keras.Input, so that their "
                "names are known, e.g. keras.Model(x, layer(x)) of a layer",
            )
        by_name = {
            name: invert(self.heads[name].kind, z) if self.inverted[name] else z
            for name, z in zip(self.names, logits)
        }
        return output, by_name | dict(zip(self.signals, signals))


def invert(kind: str, probabilities: Any) -> Any:
    """Returns logits of probabilities, finite where a probability is 0 or 1.

    A 0 says less than its logarithm: it is a share of votes, or a number too small for float16 or
    for 8 bits. It counts as 1e-7, which Keras' own losses take for it, or as the smallest other
    probability of its row where that is smaller. Probabilities above 0 stay as they are.

    Args:
        kind: `"softmax"` or `"sigmoid"`.
        probabilities: `(batch, ..., classes)`.
    """
    p = ops.cast(probabilities, "float32")
    if kind == "softmax":
        return ops.log(_above_0(p))
    return ops.log(_above_0(p)) - ops.log(_above_0(1.0 - p))


def _above_0(p: Any) -> Any:
    others = ops.where(p > _TINY, p, _ZERO)
    floor = ops.minimum(ops.min(others, axis=-1, keepdims=True), _ZERO)
    return ops.maximum(p, ops.stop_gradient(floor))


def _output_names(model: keras.Model, structure: Any) -> list[str]:
    if isinstance(structure, (dict, list, tuple)):
        values = structure.values() if isinstance(structure, dict) else structure
        _check_flat(model, values)
    if isinstance(structure, dict):
        # Keras flattens dicts by sorted key, ordered ones in their order.
        return list(structure) if isinstance(structure, OrderedDict) else sorted(structure)
    count = len(keras.tree.flatten(structure)) if structure is not None else 1
    return output_names(model, count, "output")


def _check_flat(model: keras.Model, values: Any) -> None:
    if any(keras.tree.is_nested(value) for value in values):
        raise refusal(
            f"The outputs of {model.name!r} must be a tensor, or a list or dict of tensors",
            received=keras.tree.map_structure(lambda tensor: tensor.name, list(values)),
            mend="Return them flat, in one dict",
        )


def _check_override(head: Any, names: list[str], role: str) -> dict[str, str]:
    override = head if isinstance(head, dict) else {name: head for name in names if head}
    if set(override) <= set(names) and set(override.values()) <= set(KINDS):
        return override
    rule = f"name the end of the {role}'s outputs"
    expected = f"one of {KINDS}, or a dict of them by output name {names}"
    where = "" if role == "student" else " (head= of a KerasModel)"
    mend = f"Pass e.g. {role}_head='logits'{where}, or leave it out for models from keras.Input"
    raise wrong(f"{role}_head", rule, head, expected=expected, mend=mend)


def _warn_of_inversion(names: list[str]) -> None:
    warnings.warn(
        f"The student's logits of {names} are taken from the logarithm of its probabilities, "
        "since its graph does not show the layer before the activation. Where the student is "
        "certain beyond float32's precision it then learns nothing. Let the student return "
        "logits, or build it from keras.Input.",
        stacklevel=4,
    )


def _warn_of_contradictions(role: str, override: dict[str, str], traces: dict[str, Any]) -> None:
    for name, kind in override.items():
        found = traces[name].kind
        if found not in (None, kind):
            warnings.warn(
                f"{role}_head says that the output {name!r} is {kind}, the {role}'s graph shows "
                f"{found}. What {role}_head says is done; leave it out if the graph is right.",
                stacklevel=4,
            )
