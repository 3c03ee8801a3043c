"""A `.tflite` file, asked as an app asks it."""

from ai_edge_litert.interpreter import Interpreter


def serve(path):
    interpreter = Interpreter(model_path=str(path))
    assert list(interpreter.get_signature_list()) == ["serve"]
    return interpreter, interpreter.get_signature_runner("serve")
