"""Reads and mends the graph in a SavedModel."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["places", "split_squared_differences", "without_negative_zeros"]


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


def without_negative_zeros(saved_model: Path) -> None:
    """Has `keras.ops.argmax` and `argmin` compare what they are given.

    They write -0.0 as the least negative number before, bit by bit, for which LiteRT has no
    operator: `where(x == 0 and bits(x) & sign < 0, -tiny, x)`.
    """
    content = _read(saved_model)
    for nodes in _functions(content):
        by_name = {node.name: node for node in nodes}
        for node in nodes:
            if node.op in ("ArgMax", "ArgMin"):
                select, between = _selected(node, by_name)
                if select is not None and _asks_for_sign_bits(select, by_name):
                    between.input[0] = select.input[2]
    (saved_model / "saved_model.pb").write_bytes(content.SerializeToString())


def _selected(node: Any, by_name: dict[str, Any]) -> tuple[Any, Any]:
    """Returns what chooses the values that `node` compares, and the node that takes them."""
    while (source := _source(node, 0, by_name)) is not None:
        if source.op == "SelectV2":
            return source, node
        if source.op not in ("Reshape", "Identity"):
            break
        node = source
    return None, None


def _asks_for_sign_bits(select: Any, by_name: dict[str, Any]) -> bool:
    path = ("LogicalAnd", 0), ("Less", 1), ("BitwiseAnd", 0), ("Bitcast", 0)
    node = select
    for operator, place in path:
        node = _source(node, place, by_name)
        if node is None or node.op != operator:
            return False
    return True


def _source(node: Any, place: int, by_name: dict[str, Any]) -> Any:
    return by_name.get(node.input[place].partition(":")[0].lstrip("^"))


def _read(saved_model: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())


def _functions(content: Any) -> Iterator[Any]:
    """The nodes of each function: what Keras traced lies in functions, not in the main graph."""
    for graph in content.meta_graphs:
        for function in graph.graph_def.library.function:
            yield function.node_def
