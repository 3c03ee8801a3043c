"""A PyTorch convnet teaches a Keras student: online, or from its stored answers."""

import hashlib
import statistics
import time

import keras
import numpy as np
from absl import app, flags

import keras_kd
from keras_kd import report
from keras_kd._extras import require

FLAGS = flags.FLAGS
flags.DEFINE_integer("epochs", 30, "Epochs of the teacher and of each student.", 1)
flags.DEFINE_integer("seeds", 5, "Repeat the students' trainings with so many seeds.", 1)


def load():
    """Returns images `(n, 8, 8, 1)` and labels, to train on and to score on."""
    split = require("sklearn.model_selection", extra="examples").train_test_split
    x, y = require("sklearn.datasets", extra="examples").load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32") / 16
    x, x_test, y, y_test = split(x, y, test_size=1 / 3, stratify=y, random_state=0)
    return (x, y), (x_test, y_test)


def trained_module(torch, x, y):
    """Returns a PyTorch module of images `(n, 1, 8, 8)`."""
    torch.manual_seed(0)
    nn = torch.nn
    first, second = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
    layers = [first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    module = nn.Sequential(*layers, nn.Linear(1024, 10))
    parameters = [*module.parameters()]
    images, labels = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y)
    for _ in range(FLAGS.epochs):
        for rows in torch.randperm(len(y)).split(32):
            loss = nn.functional.cross_entropy(module(images[rows]), labels[rows])
            slopes = torch.autograd.grad(loss, parameters)
            # By hand: torch.optim loads a compiler, which beside TensorFlow's may crash.
            with torch.no_grad():
                for values, slope in zip(parameters, slopes):
                    values -= 0.1 * slope
    return module.eval()


def as_teacher(torch, module):
    """Returns the module as a teacher of Keras students."""

    def answers(images):
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    weights = b"".join(values.numpy().tobytes() for values in module.state_dict().values())
    return keras_kd.teachers.Function(
        answers,
        head="logits",
        preprocess=lambda images: np.ascontiguousarray(images.transpose(0, 3, 1, 2)),
        version=hashlib.sha256(weights).hexdigest(),
        name="module",
    )


def student_of(teacher, x, y, rows, seed):
    """Returns a student that has learned from a teacher, or with `None` from labels alone."""
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.MaxPooling2D()]
    student = keras.Sequential(
        [keras.Input(x.shape[1:]), *layers, keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model, options = student, {}
    if teacher is not None:
        model = keras_kd.Distiller(student=student, teacher=teacher)
        options = {"alpha": 0.1, "temperature": 4.0}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss=loss, **options)
    model.fit(*rows, epochs=FLAGS.epochs, verbose=0)
    return student


def main(_):
    torch = require("torch", extra="examples")
    (x, y), (x_test, y_test) = load()
    module = trained_module(torch, x, y)
    teacher = as_teacher(torch, module)
    logits = teacher.predict(x_test)["output"]
    print(f"teacher: {report.top1(logits, y_test):.2%}")
    soft = keras_kd.SoftLabels.write(None, teacher=teacher, data=x, batch_size=256)
    ways = {"no teacher": None, "online": teacher, "stored": soft}
    for name, who in ways.items():
        scores, start = [], time.perf_counter()
        for seed in range(FLAGS.seeds):
            rows = (soft.dataset(x, y, batch_size=32, seed=seed),) if who is soft else (x, y)
            student = student_of(who, x, y, rows, seed)
            scores.append(report.top1(student.predict(x_test, verbose=0), y_test))
        seconds = (time.perf_counter() - start) / FLAGS.seeds
        each = ", ".join(f"{score:.2%}" for score in scores)
        print(f"student, {name}: {statistics.mean(scores):.2%} ({each}), {seconds:.1f} s each")


if __name__ == "__main__":
    app.run(main)
