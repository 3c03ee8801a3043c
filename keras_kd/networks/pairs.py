"""Which layer of the teacher for which layer of the student?"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd import _keras
from keras_kd._errors import refusal, wrong
from keras_kd.networks import taps
from keras_kd.networks.heads import LogitsModel
from keras_kd.networks.models import check_model
from keras_kd.networks.structures import are_arrays

__all__ = ["Pair", "cka", "suggest_pairs", "table"]

# Layers that end what belongs together; most networks are made of blocks of such.
_ENDS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Add,
    keras.layers.Concatenate,
    keras.layers.LayerNormalization,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
)
# What these give are logits, probabilities or gates.
_NO_FEATURES = (
    keras.activations.linear,
    keras.activations.sigmoid,
    keras.activations.softmax,
    keras.activations.log_softmax,
)


@dataclass(frozen=True)
class Pair:
    """Two layers whose signals may be compared by a Term.

    Attributes:
        teacher: Path of the teacher's layer.
        student: Path of the student's layer.
        teacher_shape: Shape of the teacher's signal.
        student_shape: Shape of the student's signal.
        depth: How far inside of the student the layer is, from 0 to 1.
        cka: Linear centred kernel alignment of both signals on the batch, from 0 to 1: how much
            they say alike about the examples already.
    """

    teacher: str
    student: str
    teacher_shape: tuple[int | None, ...]
    student_shape: tuple[int | None, ...]
    depth: float
    cka: float


@dataclass(frozen=True)
class _Place:
    path: str
    shape: tuple[int | None, ...]
    depth: float
    gram: np.ndarray


def suggest_pairs(
    teacher: keras.Model,
    student: keras.Model,
    batch: Any,
    print_fn: Callable[[str], None] | None = print,
) -> list[Pair]:
    """Suggests which layers to compare, from depth, resolution and what they say of a batch.

    For the last layer of each of the student's resolutions, and for the last that gives vectors and
    the last that gives sequences, it takes the teacher's layer of the nearest relative depth and,
    where there is one, of the same resolution. Logits and probabilities are left out. Linear CKA on
    the batch tells how alike the signals are already: near 1 there is little to learn, near 0
    perhaps nothing that the student can reach. A suggestion, no rule.

    Args:
        teacher: A trained model, built from `keras.Input`.
        student: The same.
        batch: Inputs of both models, some dozens, without labels.
        print_fn: Called with the table, `None` for no table.

    Returns:
        List of `Pair`s, from input to output.

    Raises:
        TypeError: If a model is no `keras.Model`, or the batch is made of no arrays.
        ValueError: If one is not built or shows no graph, a signal has NaN or Inf, or the batch has
            fewer than 4 examples or more than the models' inputs.

    Example:
    ```python
    pairs = keras_kd.suggest_pairs(teacher, student, x[:64])
    hint = keras_kd.Term(
        keras_kd.losses.Hint(),
        teacher=pairs[0].teacher,
        student=pairs[0].student,
        projector="auto",
    )
    ```

    Reference:
        - [Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019](
            https://arxiv.org/abs/1905.00414)
    """
    _check_batch(batch, student)
    found = {
        role: _places(model, batch, role)
        for role, model in {"teacher": teacher, "student": student}.items()
    }
    pairs = [
        _pair(place, found["teacher"])
        for place in _last_of_each_resolution(found["student"])
        if found["teacher"]
    ]
    if not pairs:
        _warn_of_nothing(found, {"teacher": teacher, "student": student})
    if print_fn is not None:
        print_fn(table(pairs))
    return pairs


def _warn_of_nothing(found: dict[str, list[_Place]], models: dict[str, keras.Model]) -> None:
    role = next(role for role, places in found.items() if not places)
    warnings.warn(
        f"suggest_pairs has no pair, because no layer in the {role}'s graph is known to end a "
        "block: an activation, a sum, a concatenation, a normalization, a pooling. Layers of "
        "your own may be named in a Term all the same; the graph has "
        f"{taps.paths(models[role])[-8:]} last.",
        stacklevel=3,
    )


def table(pairs: Iterable[Pair]) -> str:
    """Returns the pairs as text, a line each."""
    rows = [("student", "shape", "teacher", "shape", "depth", "CKA")]
    for pair in pairs:
        shapes = [str(shape[1:]) for shape in (pair.student_shape, pair.teacher_shape)]
        numbers = f"{pair.depth:.2f}", f"{pair.cka:.2f}"
        rows.append((pair.student, shapes[0], pair.teacher, shapes[1], *numbers))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(f"{c:{w}}" for c, w in zip(row, widths)).rstrip() for row in rows)


def cka(first: np.ndarray, second: np.ndarray) -> float:
    """Returns linear CKA from two centred Gram matrices, `(examples, examples)`."""
    norms = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / norms) if norms > 0 else 0.0


def _places(model: keras.Model, batch: Any, role: str) -> list[_Place]:
    nodes = list(taps.walk(check_model(model, role)))
    if not nodes:
        taps.find(model, "any", role)  # says what a subclassed model can do
    nodes_by_path, gates = dict(nodes), _gates(nodes)
    chosen = {
        path: (tuple(node.outputs[0].shape), place / len(nodes))
        for place, (path, node) in enumerate(nodes, start=1)
        if _ends_a_block(node.operation) and len(node.outputs) == 1 and node not in gates
    }
    _, signals = LogitsModel(model, None, role).with_taps(chosen)(batch, training=False)
    grams = {path: _gram(signals[taps.signal_name(path)]) for path in chosen}
    _check_finite(grams, role)
    places = [_Place(path, *chosen[path], gram) for path, gram in grams.items()]
    ends = {place.path for place in places if _is_an_end(nodes_by_path[place.path])}
    whole = {_resolution(place.shape) for place in places if place.path in ends}
    return [p for p in places if p.path in ends or _resolution(p.shape) not in whole]


def _ends_a_block(layer: Any) -> bool:
    activation = getattr(layer, "activation", None) or keras.activations.linear
    return isinstance(layer, _ENDS) or activation not in _NO_FEATURES or _is_a_block(layer)


def _is_an_end(node: _keras.Node) -> bool:
    """Whether a call gives what a whole block gives: a sum, what follows one, or an own layer."""
    before = [_keras.origin(tensor)[0] for tensor in node.input_tensors]
    sums = (keras.layers.Add, keras.layers.Concatenate)
    return any(isinstance(each, sums) for each in (node.operation, *before)) or _is_a_block(
        node.operation
    )


def _is_a_block(layer: Any) -> bool:
    """Whether a layer of another library holds several, as KerasHub's encoders do."""
    if not isinstance(layer, keras.layers.Layer) or isinstance(layer, keras.Model):
        return False
    return not _keras.is_stock(layer) and len(list(_keras.all_layers(layer))) > 2


def _gates(nodes: list[tuple[str, _keras.Node]]) -> set[_keras.Node]:
    """Returns the calls with maps of one pixel, as in squeeze and excitation: they steer others."""
    return {
        node
        for _, node in nodes
        if len(node.outputs) == 1
        and tuple(node.outputs[0].shape[1:-1]) == (1, 1)
        and any(getattr(source, "shape", ())[1:-1] == (1, 1) for source in node.input_tensors)
    }


def _gram(signal: Any) -> np.ndarray:
    rows = keras.ops.convert_to_numpy(signal).astype("float64").reshape(len(signal), -1)
    rows = rows - rows.mean(axis=0)
    return rows @ rows.T


def _check_finite(grams: dict[str, np.ndarray], role: str) -> None:
    spoilt = [path for path, gram in grams.items() if not np.isfinite(gram).all()]
    if spoilt:
        raise refusal(
            f"The {role}'s signals must be finite numbers",
            received=f"NaN or Inf, first from {spoilt[0]!r}",
            mend="Look whether the batch itself is finite, then at the weights before that layer",
        )


def _resolution(shape: tuple) -> tuple:
    """Returns a map's sizes; of vectors and sequences, that they are such."""
    return (len(shape), *(shape[1:-1] if len(shape) == 4 else ()))


def _last_of_each_resolution(places: list[_Place]) -> list[_Place]:
    return list({_resolution(place.shape): place for place in places}.values())


def _pair(own: _Place, theirs: list[_Place]) -> Pair:
    same = [place for place in theirs if _resolution(place.shape) == _resolution(own.shape)]
    alike = [place for place in theirs if len(place.shape) == len(own.shape)]
    best = min(same or alike or theirs, key=lambda place: abs(place.depth - own.depth))
    value = cka(best.gram, own.gram)
    return Pair(best.path, own.path, best.shape, own.shape, own.depth, value)


def _check_batch(batch: Any, student: Any) -> None:
    inputs = getattr(check_model(student, "student"), "inputs", None)
    if not are_arrays(batch):
        raise refusal(
            "batch must be one batch of the models' inputs",
            received=f"{type(batch).__name__}",
            mend="Pass e.g. x[:64], or of a dataset next(iter(dataset))[0]",
            error=TypeError,
        )
    if isinstance(batch, (tuple, list)) and inputs is not None and len(batch) > len(inputs):
        raise refusal(
            "batch must be the models' inputs alone",
            expected="one array" if len(inputs) == 1 else f"{len(inputs)} arrays",
            received=f"a {type(batch).__name__} of {len(batch)}",
            mend="Leave the labels out, e.g. batch[0]",
        )
    size = len(keras.tree.flatten(batch)[0])
    if size < 4:
        raise wrong(
            "batch", "have at least 4 examples, better some dozens", size, mend="Pass x[:64]"
        )
