import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from keras_kd.export.tflite_file.operators import float_operators, operators


def file_of(codes, uses):
    """Builds a file with the operator `codes` (number, custom name), used in the order `uses`."""
    model = schema.ModelT()
    model.operatorCodes, graph = [], schema.SubGraphT()
    for number, custom in codes:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.customCode = custom
        model.operatorCodes.append(code)
    graph.operators = []
    for use in uses:
        operator = schema.OperatorT()
        operator.opcodeIndex = use
        graph.operators.append(operator)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_counts_builtin_and_custom_operators_by_name():
    op = schema.BuiltinOperator
    codes = [(op.SOFTMAX, None), (op.CONV_2D, None), (op.CUSTOM, "FlexErfinv"), (op.GELU, None)]
    assert list(operators(file_of(codes, [1, 0, 2, 1, 3])).items()) == [
        ("CONV_2D", 2),
        ("CUSTOM FlexErfinv", 1),
        ("GELU", 1),
        ("SOFTMAX", 1),
    ]


def test_an_exported_file(float_file):
    path, report = float_file
    assert operators(path.read_bytes()) == report.operators
    assert report.operators["CONV_2D"] == 1
    assert report.operators["FULLY_CONNECTED"] == 2


def test_operators_that_stay_in_float(int8_file, float_file):
    assert float_operators(int8_file[0].read_bytes()) == {} == int8_file[1].float_operators
    assert float_operators(float_file[0].read_bytes()) == float_file[1].operators
