"""Reads the operators off a `.tflite` file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["float_operators", "operators", "parsed", "uses"]


def operators(content: bytes) -> dict[str, int]:
    """Counts the operators of a `.tflite` file by name, in alphabetical order.

    Args:
        content: The file's bytes.

    Returns:
        Uses by name, e.g. `{"CONV_2D": 2, "SOFTMAX": 1}`; custom operators as `"CUSTOM FlexErf"`.
    """
    graphs, names = parsed(content)
    return _counted(names[use.OpcodeIndex()] for graph in graphs for use in uses(graph))


def float_operators(content: bytes) -> dict[str, int]:
    """Counts the operators that compute in float, in the form of `operators`.

    Those that only lead from floats to whole numbers or back do not count.
    """
    graphs, names = parsed(content)
    return _counted(
        names[use.OpcodeIndex()]
        for graph in graphs
        for use in uses(graph)
        if names[use.OpcodeIndex()] not in ("QUANTIZE", "DEQUANTIZE") and _takes_floats(graph, use)
    )


def parsed(content: bytes) -> tuple[list[Any], list[str]]:
    """Returns the graphs of a file, and the names of the operators by their index in it."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    builtin = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    codes = [model.OperatorCodes(position) for position in range(model.OperatorCodesLength())]
    # Files of old converters keep the code in the deprecated field, which ends at 127.
    numbers = [max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) for code in codes]
    names = [
        f"CUSTOM {code.CustomCode().decode()}"
        if number == schema.BuiltinOperator.CUSTOM
        else builtin[number]
        for code, number in zip(codes, numbers)
    ]
    return [model.Subgraphs(position) for position in range(model.SubgraphsLength())], names


def uses(graph: Any) -> Iterator[Any]:
    """Returns the operators of a graph, in the order of execution."""
    return (graph.Operators(position) for position in range(graph.OperatorsLength()))


def _takes_floats(graph: Any, use: Any) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    tensors = [*use.InputsAsNumpy(), *use.OutputsAsNumpy()]
    kinds = (graph.Tensors(tensor).Type() for tensor in tensors if tensor >= 0)
    return any(kind == schema.TensorType.FLOAT32 for kind in kinds)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
