"""A convnet, a dense network and a forest teach one small student, together.

The ensemble's weights are fitted on samples that no teacher was trained on, and its answers stored
once, so that the student trains at the cost of training alone.

Temperature and alpha are keras_kd's defaults; the best member is the one that is right most often
on the held-out samples. Nothing is chosen on the test images.
"""

import statistics

import keras
from absl import app, flags

import keras_kd
from keras_kd import report
from keras_kd._extras import require

FLAGS = flags.FLAGS
flags.DEFINE_integer("epochs", 40, "Epochs of each network.", 1)
flags.DEFINE_integer("seeds", 5, "Repeat the students' trainings with so many seeds.", 1)
TEMPERATURES = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0]  # of which the default takes the nearest


def load():
    """Returns images `(n, 8, 8, 1)` and labels: to train on, to fit weights on, to score on."""
    split = require("sklearn.model_selection", extra="examples").train_test_split
    x, y = require("sklearn.datasets", extra="examples").load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32") / 16
    x, x_test, y, y_test = split(x, y, test_size=1 / 3, stratify=y, random_state=0)
    x, x_held, y, y_held = split(x, y, test_size=1 / 4, stratify=y, random_state=0)
    return (x, y), (x_held, y_held), (x_test, y_test)


def convnet(*widths):
    x = inputs = keras.Input((8, 8, 1))
    for width in widths:
        x = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.MaxPooling2D()(x))
    return keras.Model(inputs, keras.layers.Dense(10)(x))


def dense():
    layers = [keras.layers.Dense(256, activation="relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *layers])


def fit(model, *data, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss=loss, **options)
    model.fit(*data, epochs=FLAGS.epochs, verbose=0)
    return model


def forest(x, y):
    """Returns a teacher that is not a network."""
    forests = require("sklearn.ensemble", extra="examples")
    trees = forests.RandomForestClassifier(200, random_state=0).fit(x.reshape(len(x), -1), y)
    return keras_kd.teachers.Function(
        trees.predict_proba,
        head="softmax",
        preprocess=lambda images: images.reshape(len(images), -1),
        classes=trees.classes_,
        name="forest",
    )


def answers(teachers, x):
    return {
        name: keras_kd.SoftLabels.write(None, teacher=teacher, data=x, verbose=0)
        for name, teacher in teachers.items()
    }


def student_of(soft, data, test, seed):
    """Returns the top-1 of a student: of stored answers, or with `None` of labels alone."""
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.MaxPooling2D()]
    student = keras.Sequential(
        [keras.Input((8, 8, 1)), *layers, keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    if soft is None:
        fit(student, *data)
    else:
        rows = soft.dataset(*data, batch_size=32, seed=seed)
        distiller = keras_kd.Distiller(student=student, teacher=soft)
        fit(distiller, rows)
    return report.top1(student.predict(test[0], verbose=0), test[1])


def main(_):
    train, held_out, test = load()
    keras.utils.set_random_seed(0)
    teachers = {"convnet": fit(convnet(32, 64), *train), "dense": fit(dense(), *train)}
    teachers["forest"] = forest(*train)
    ensemble = keras_kd.teachers.Ensemble.fitted([*teachers.values()], *held_out)
    print(ensemble)
    print(report.ensemble(answers(teachers, test[0]), test[1], ensemble.weights))
    scores = report.ensemble(answers(teachers, held_out[0]), held_out[1]).each
    best = max(scores, key=scores.get)
    given = {"data": train[0], "temperatures": TEMPERATURES, "verbose": 0}
    taught_by = {
        "no teacher": None,
        f"best member ({best})": keras_kd.SoftLabels.write(None, teacher=teachers[best], **given),
        "ensemble": keras_kd.SoftLabels.write(None, teacher=ensemble, **given),
    }
    for name, soft in taught_by.items():
        scores = [student_of(soft, train, test, seed) for seed in range(FLAGS.seeds)]
        each = ", ".join(f"{score:.2%}" for score in scores)
        print(f"student, {name}: {statistics.mean(scores):.2%} ({each})", flush=True)


if __name__ == "__main__":
    app.run(main)
