"""Features: MobileNetV2 teaches a narrower MobileNetV2, by its outputs and from the inside.

Top-1 on Fashion-MNIST's test set, mean of 3 seeds and each; 10,000 training images, weights of the
terms as in their papers, nothing tuned (--dataset=fashion_mnist --epochs=5 --seeds=3):

    teacher (alpha 1.0)                 84.62 %
    student (alpha 0.35), no teacher    78.74 % (78.50, 78.52, 79.19)
    soft targets                        81.09 % (80.96, 81.26, 81.06)
    soft targets and features           82.50 % (82.54, 82.82, 82.15)
"""

import json
from pathlib import Path

import keras
import numpy as np
from absl import app, flags

import keras_kd
from keras_kd import Term, losses, projectors, report
from keras_kd._extras import require

FLAGS = flags.FLAGS
flags.DEFINE_enum("dataset", "digits", ["digits", "fashion_mnist", "cifar10"], "What to learn.")
flags.DEFINE_string("data_dir", None, "Where tfds.load keeps its data sets.")
flags.DEFINE_string("output", "features", "Folder for the teacher and the scores of each run.")
flags.DEFINE_integer("images", 10_000, "Images to train on.", 1)
flags.DEFINE_integer("epochs", 8, "Epochs of a student; the teacher has twice as many.", 1)
flags.DEFINE_integer("seeds", 1, "Repeat the students' trainings with so many seeds.", 1)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
METHODS = ("no teacher", "soft targets", "features")


def load():
    """Returns images of 32x32 pixels with three channels, and labels, to train and to score on."""
    if FLAGS.dataset == "digits":
        x, y = require("sklearn.datasets", extra="examples").load_digits(return_X_y=True)
        x = x.reshape(-1, 8, 8, 1) * 16
        (x, x_test), (y, y_test) = np.split(x, [1200]), np.split(y, [1200])
    else:
        tfds = require("tensorflow_datasets", extra="tfds")
        data = tfds.load(FLAGS.dataset, data_dir=FLAGS.data_dir, batch_size=-1, as_supervised=True)
        (x, y), (x_test, y_test) = (tfds.as_numpy(data[part]) for part in ("train", "test"))
    return (in_color(x[: FLAGS.images]), y[: FLAGS.images]), (in_color(x_test), y_test)


def in_color(images):
    images = np.broadcast_to(images, (*images.shape[:-1], 3)).astype("float32")
    return np.asarray(keras.ops.image.resize(images, (32, 32))).round().astype("uint8")


def mobilenet(name, alpha):
    options = {"include_top": False, "weights": None, "name": "backbone"}
    backbone = keras.applications.MobileNetV2((32, 32, 3), alpha, **options)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # Keras' 0.999 is for longer trainings
    images = keras.Input((32, 32, 3), name="image")
    maps = backbone(keras.layers.Rescaling(1 / 127.5, offset=-1)(images))
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(maps)
    return keras.Model(images, keras.layers.Dense(10, name="logits")(x), name=name)


def fit(model, data, epochs, **blend):
    decay = keras.optimizers.schedules.CosineDecay(3e-3, epochs * -(-len(data[0]) // 128))
    model.compile(keras.optimizers.Adam(decay), CROSS_ENTROPY, metrics=["accuracy"], **blend)
    model.fit(*data, batch_size=128, epochs=epochs, verbose=2)


def trained_teacher(data):
    path = Path(FLAGS.output) / f"teacher_{FLAGS.dataset}.keras"
    if not path.exists():
        keras.utils.set_random_seed(0)
        teacher = mobilenet("teacher", alpha=1.0)
        fit(teacher, data, 2 * FLAGS.epochs)
        teacher.save(path)
    return keras.saving.load_model(path)


def trained_student(method, teacher, data, seed):
    """Trains a student; whatever the method, it begins with the same weights and batches."""
    keras.utils.set_random_seed(seed)
    student = mobilenet("student", alpha=0.35)
    terms = [Term(losses.SoftTargets(temperature=4.0), weight=0.9)]
    if method == "features":
        block, ensemble = "backbone/block_6_expand_relu", projectors.ProjectorEnsemble()
        terms += [
            Term(losses.CosineHint(), teacher="pooled", student="pooled", projector=ensemble),
            Term(losses.AttentionTransfer(), teacher=block, student=block),
        ]
    trained, blend = student, {}
    if method != "no teacher":
        trained = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
        blend = {"hard_weight": 0.1}
    keras.utils.set_random_seed(seed)
    fit(trained, data, FLAGS.epochs, **blend)
    return student


def main(_):
    data, (images, labels) = load()
    Path(FLAGS.output).mkdir(parents=True, exist_ok=True)
    path = Path(FLAGS.output) / f"scores_{FLAGS.dataset}.json"
    scores = json.loads(path.read_text()) if path.exists() else {}
    teacher = trained_teacher(data)
    scores["teacher"] = report.top1(teacher.predict(images, verbose=0), labels)
    for seed in range(FLAGS.seeds):
        for method in METHODS:
            name = f"{method}, seed {seed}"
            if name not in scores:  # a run that was stopped goes on
                student = trained_student(method, teacher, data, seed)
                scores[name] = report.top1(student.predict(images, verbose=0), labels)
                path.write_text(json.dumps(scores, indent=2) + "\n")
    for method in ("teacher", *METHODS):
        values = [score for name, score in scores.items() if name.split(",")[0] == method]
        print(f"{method:13} {np.mean(values):.2%} ({', '.join(f'{v:.2%}' for v in values)})")


if __name__ == "__main__":
    app.run(main)
