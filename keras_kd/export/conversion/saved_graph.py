"""Reads and mends the graph in a SavedModel."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def places(saved_model: Path, operators: set[str]) -> dict[str, list[str]]:
    """Returns where TensorFlow operators stand, by operator: paths of layers, as Keras names them.

    Args:
        saved_model: The SavedModel's folder.
        operators: Names of operators, e.g. `{"Erfinv"}`.
    """
    found: dict[str, set[str]] = {}
    for nodes in _functions(_read(saved_model)):
        for node in nodes:
            if node.op in operators and "/" in node.name:
                found.setdefault(node.op, set()).add(node.name.rpartition("/")[0])
    return {operator: sorted(names) for operator, names in sorted(found.items())}


def split_squared_differences(saved_model: Path) -> None:
    """Writes `SquaredDifference` as a subtraction and a product.

    The quantiser turns the operator into 16 bits, for which LiteRT has no kernel (normalisation
    layers contain it).
    """
    content = _read(saved_model)
    for nodes in _functions(content):
        for node in [node for node in nodes if node.op == "SquaredDifference"]:
            difference = nodes.add()
            difference.CopyFrom(node)
            difference.op, difference.name = "Sub", f"{node.name}_difference"
            node.op = "Mul"
            node.input[:2] = [f"{difference.name}:z:0"] * 2
    (saved_model / "saved_model.pb").write_bytes(content.SerializeToString())


def _read(saved_model: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())


def _functions(content: Any) -> Iterator[Any]:
    """The nodes of each function: what Keras traced lies in functions, not in the main graph."""
    for graph in content.meta_graphs:
        for function in graph.graph_def.library.function:
            yield function.node_def
