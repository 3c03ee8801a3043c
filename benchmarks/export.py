"""What does each TFLite mode cost and give, beside Keras' own export and a published int8 file?

Question: how many bytes, how much accuracy and how much time does each mode of `export.tflite`
take, for the digits student of the quickstart (1,662 parameters), MLPerf Tiny's ResNet-8 (78,666
parameters, published weights, all 10,000 test images of CIFAR-10) and a MobileNetV2 at 96x96 (2.3
million parameters, trained for 150 steps: its agreement with Keras counts, not its accuracy)?

Baseline: `Model.export(format="litert")` of Keras, plain and with the converter's settings for int8
passed through, and the `.tflite` files that MLPerf Tiny published. All files are scored by the same
code, one image at a time; times are medians of interleaved rounds, one thread, on this machine and
not on a phone. Finished parts are kept in `--work` and not done again.

    python benchmarks/export.py --data=../shared/data --work=/tmp/benchmark_export
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gzip
import json
import sys
from pathlib import Path

import keras
import numpy as np
from absl import app, flags
from interleaved import measure, save, summary
from keras import layers
from resnet8 import load_reference_weights, resnet8

import keras_kd
from keras_kd.export.conversion.modes import MODES

_DATA = flags.DEFINE_string("data", "../shared/data", "Folder with load_data.py.")
_WORK = flags.DEFINE_string("work", "/tmp/benchmark_export", "Folder for finished parts.")
_ROUNDS = flags.DEFINE_integer("rounds", 30, "Counted rounds of the latency measurement.")

REFERENCE = "pretrained/mlperf_tiny/pretrainedResnet"
REQUIRED = {"int8 bytes": 98_496, "int8 accuracy drop": 0.003}


def cifar10():
    sys.path.insert(0, _DATA.value)
    from load_data import load

    return load("cifar10")


def digits():
    """Returns the student, calibration samples and the test set."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y, test_size=1 / 3, stratify=y, random_state=0)
    blocks = [
        layer
        for width, strides in ((4, 1), (8, 2))
        for layer in (
            layers.Conv2D(width, 3, strides, "same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
        )
    ]
    student = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Rescaling(1 / 16.0),
            *blocks,
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.Adam(1e-2), loss)
    student.fit(x, y, batch_size=64, epochs=60, verbose=0)
    return student, x[:500], (x_test, y_test)


def resnet_8():
    model = resnet8(activation="softmax")
    load_reference_weights(model, Path(_DATA.value) / f"{REFERENCE}.h5")
    (x, _), (x_test, y_test) = cifar10()
    return model, x[:500].astype("float32"), (x_test.astype("float32"), y_test)


def mobilenet_v2():
    (x, y), (x_test, y_test) = cifar10()

    def large(images):
        return np.asarray(keras.ops.image.resize(images.astype("float32"), (96, 96)))

    inputs = keras.Input((96, 96, 3), name="image")
    body = keras.applications.MobileNetV2(
        (96, 96, 3), weights=None, classes=10, classifier_activation=None
    )
    model = keras.Model(inputs, body(layers.Rescaling(1 / 127.5, -1.0)(inputs)))
    for layer in body.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # so that the statistics follow in a few steps
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    model.fit(large(x[:4800]), y[:4800], batch_size=32, epochs=1, verbose=2)
    return model, large(x[:200]), (large(x_test[:500]), y_test[:500])


MODELS = {"digits": digits, "resnet8": resnet_8, "mobilenet_v2_96": mobilenet_v2}


def prepared(name, work):
    """Returns the model and its data, from the folder where they have been made before."""
    model_file, data_file = work / "model.keras", work / "data.npz"
    if not model_file.exists():
        work.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(0)
        model, calibration, (x, y) = MODELS[name]()
        answers = model.predict(x, batch_size=256, verbose=0)
        np.savez(data_file, calibration=calibration, x=x, y=y, answers=answers)
        model.save(model_file)
    with np.load(data_file) as data:
        return keras.models.load_model(model_file, compile=False), dict(data)


def files(name, model, data, work):
    """Makes the files, and returns them by the name of who made them and how."""
    made = {}
    for mode in MODES:
        made[mode] = work / f"{mode}.tflite"
        if not made[mode].exists():
            few = data["x"][:200]
            keras_kd.export.tflite(model, made[mode], mode, data["calibration"], verify=few)
    made["keras float32"] = work / "keras_float32.tflite"
    made["keras int8"] = work / "keras_int8.tflite"
    if not made["keras int8"].exists():
        by_keras(model, made["keras float32"])
        by_keras(model, made["keras int8"], **int8_settings(data["calibration"]))
    if name == "resnet8":
        made["MLPerf float32"] = Path(_DATA.value) / f"{REFERENCE}.tflite"
        made["MLPerf int8"] = Path(_DATA.value) / f"{REFERENCE}_quant.tflite"
    return made


def by_keras(model, path, **settings):
    model.export(path, format="litert", verbose=False, **settings)


def int8_settings(calibration):
    import tensorflow as tf

    return {
        "optimizations": [tf.lite.Optimize.DEFAULT],
        "representative_dataset": lambda: ([image[None]] for image in calibration),
        "inference_input_type": tf.int8,
        "inference_output_type": tf.int8,
    }


class File:
    """A `.tflite` file of one input and one output, whoever made it; one image at a time."""

    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        (self._input,), (self._output,) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )

    def __call__(self, image):
        """Returns the answer to one image of real values."""
        scale, zero = self._input["quantization"]
        if scale:
            limits = np.iinfo(self._input["dtype"])
            image = np.clip(np.round(image / scale) + zero, limits.min, limits.max)
        self._interpreter.set_tensor(self._input["index"], image[None].astype(self._input["dtype"]))
        self._interpreter.invoke()
        answer = self._interpreter.get_tensor(self._output["index"])[0]
        scale, zero = self._output["quantization"]
        return (answer.astype("float32") - zero) * scale if scale else answer


def scores(path, data):
    file, content = File(path), path.read_bytes()
    answers, keras_answers = np.stack([file(image) for image in data["x"]]), data["answers"]
    before, after = (a.argmax(-1) == data["y"] for a in (keras_answers, answers))
    distance = np.linalg.norm(answers - keras_answers) / np.linalg.norm(keras_answers)
    return {
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, mtime=0)),
        "keras_accuracy": float(before.mean()),
        "accuracy": float(after.mean()),
        "argmax_agreement": float(np.mean(keras_answers.argmax(-1) == answers.argmax(-1))),
        "relative_error": float(distance),
        "samples": len(answers),
    }


def latencies(made, image):
    """Returns milliseconds for one image, one thread."""

    def invocations(file, count):
        def run():
            for _ in range(count):
                file(image)

        return run

    counts = {name: 1 if name == "int16x8" else 10 for name in made}
    systems = {name: invocations(File(path), counts[name]) for name, path in made.items()}
    seconds = measure(systems, _ROUNDS.value, progress=lambda line: None)
    return {
        name: summary([1e3 * value / counts[name] for value in values])
        for name, values in seconds.items()
    }


def part(name):
    """Returns the results of one model, from its folder if it has been done before."""
    work = Path(_WORK.value) / name
    done = work / "results.json"
    if not done.exists():
        model, data = prepared(name, work)
        made = files(name, model, data, work)
        rows = {}
        for label, path in made.items():
            print(name, label, flush=True)
            rows[label] = scores(path, data)
        for label, milliseconds in latencies(made, data["x"][0]).items():
            rows[label]["milliseconds"] = milliseconds
        done.write_text(json.dumps({"parameters": model.count_params(), "files": rows}))
    return json.loads(done.read_text())


def main(_):
    results = {name: part(name) for name in MODELS}
    for name, result in results.items():
        print(f"\n{name}, {result['parameters']:,} parameters")
        for label, row in result["files"].items():
            print(
                f"  {label:15} {row['bytes']:>10,} B  gzip {row['gzip_bytes']:>10,}"
                f"  accuracy {row['accuracy']:.2%} (Keras {row['keras_accuracy']:.2%})"
                f"  argmax {row['argmax_agreement']:.2%}  {row['milliseconds']['median']:.3f} ms"
            )
    int8 = results["resnet8"]["files"]["int8"]
    drop = int8["keras_accuracy"] - int8["accuracy"]
    print(f"\nResNet-8 int8: {int8['bytes']:,} bytes, drop {drop:.2%}; required {REQUIRED}")
    print("written to", save("export", "python benchmarks/export.py", results).name)


if __name__ == "__main__":
    app.run(main)
