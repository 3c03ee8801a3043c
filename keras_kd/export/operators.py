"""Reads the operators off a `.tflite` file."""

from collections import Counter


def operators(content: bytes) -> dict[str, int]:
    """Counts the operators of a `.tflite` file by name, in alphabetical order.

    Args:
        content: The file's bytes.

    Returns:
        Uses by name, e.g. `{"CONV_2D": 2, "SOFTMAX": 1}`; custom operators as `"CUSTOM FlexErf"`.
    """
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
    graphs = [model.Subgraphs(position) for position in range(model.SubgraphsLength())]
    uses = (graph.Operators(i) for graph in graphs for i in range(graph.OperatorsLength()))
    return dict(sorted(Counter(names[use.OpcodeIndex()] for use in uses).items()))
