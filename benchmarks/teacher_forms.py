"""One convolutional network in all forms in which a teacher may come."""

import os

import keras
import numpy as np

WIDTHS = (96, 192, 384)


def network():
    x = inputs = keras.Input((32, 32, 3))
    for stage, width in enumerate(WIDTHS):
        x = keras.layers.Conv2D(width, 3, 1 + (stage > 0), activation="relu")(x)
    return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x)))


def kernels(model):
    """Returns kernels and biases, those of convolutions in PyTorch's and ONNX' order."""
    return [w.transpose(3, 2, 0, 1) if w.ndim == 4 else w for w in model.get_weights()]


def torch_function(model):
    import torch

    values = [torch.from_numpy(np.ascontiguousarray(w)) for w in kernels(model)]

    def answers(x):
        with torch.no_grad():
            z = torch.from_numpy(x).permute(0, 3, 1, 2)
            for stage in range(len(WIDTHS)):
                kernel, bias = values[2 * stage : 2 * stage + 2]
                z = torch.relu(torch.conv2d(z, kernel, bias, stride=1 + (stage > 0)))
            return (z.mean((2, 3)) @ values[-2] + values[-1]).numpy()

    return answers


def onnx_file(model, path):
    import onnx

    node, nodes, z = onnx.helper.make_node, [], "t"
    held = [onnx.numpy_helper.from_array(w, f"w{n}") for n, w in enumerate(kernels(model))]
    nodes.append(node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]))
    for stage in range(len(WIDTHS)):
        given, made = [z, f"w{2 * stage}", f"w{2 * stage + 1}"], [f"c{stage}"]
        nodes.append(node("Conv", given, made, strides=[1 + (stage > 0)] * 2))
        z = f"r{stage}"
        nodes.append(node("Relu", made, [z]))
    nodes.append(node("GlobalAveragePool", [z], ["p"]))
    nodes.append(node("Flatten", ["p"], ["f"]))
    nodes.append(node("Gemm", ["f", "w6", "w7"], ["y"]))
    kind = onnx.TensorProto.FLOAT
    x = onnx.helper.make_tensor_value_info("x", kind, ["n", 32, 32, 3])
    y = onnx.helper.make_tensor_value_info("y", kind, ["n", 10])
    graph = onnx.helper.make_graph(nodes, "network", [x], [y], held)
    opsets = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def interpreter(path, batch):
    """Returns a function that runs a `.tflite` file as LiteRT's guide does, with all threads."""
    from ai_edge_litert.interpreter import Interpreter

    loaded = Interpreter(str(path), num_threads=os.cpu_count())
    (given,), (made,) = loaded.get_input_details(), loaded.get_output_details()
    loaded.resize_tensor_input(given["index"], (batch, 32, 32, 3))
    loaded.allocate_tensors()
    (scale, zero), (out_scale, out_zero) = given["quantization"], made["quantization"]

    def answers(x):
        rows = []
        for start in range(0, len(x), batch):
            part = x[start : start + batch]
            if scale:
                part = np.clip(np.round(part / scale) + zero, -128, 127).astype("int8")
            loaded.set_tensor(given["index"], part)
            loaded.invoke()
            rows.append(loaded.get_tensor(made["index"]))
        rows = np.concatenate(rows)
        return (rows.astype("float32") - out_zero) * out_scale if scale else rows

    return answers
