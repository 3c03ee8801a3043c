"""Ask a teacher once for ten mixed views of each image, then train students without it.

Top-1 on Fashion-MNIST's test set, mean of 3 seeds and each; 4,000 training images, 10 epochs,
nothing tuned. The student alone is trained on the same mixed images (--dataset=fashion_mnist):

    teacher              82.51 %
    student, no teacher  76.82 % (77.07, 75.17, 78.22)
    distilled            78.75 % (79.08, 77.98, 79.18)
"""

import functools
import statistics
from pathlib import Path

import keras
import tensorflow as tf
from absl import app, flags

import keras_kd
from keras_kd import report, soft_labels
from keras_kd._extras import require

FLAGS = flags.FLAGS
flags.DEFINE_enum("dataset", "fashion_mnist", ["digits", "fashion_mnist"], "What to learn.")
flags.DEFINE_string("data_dir", None, "Where tfds.load keeps its data sets.")
flags.DEFINE_string("labels", "soft_labels", "Folder for the teacher's answers.")
flags.DEFINE_integer("images", 4_000, "Use so many training images.", 1)
flags.DEFINE_integer("views", 10, "Views of each image.", 1)
flags.DEFINE_integer("epochs", 10, "Epochs of the teacher and of each student.", 1)
flags.DEFINE_integer("seeds", 3, "Repeat the students' trainings with so many seeds.", 1)
BATCH = 128


def load():
    """Returns images `(n, height, width, 1)` and labels to train on, and those to score on."""
    if FLAGS.dataset == "digits":
        split = require("sklearn.model_selection", extra="examples").train_test_split
        x, y = require("sklearn.datasets", extra="examples").load_digits(return_X_y=True)
        images = x.reshape(-1, 8, 8, 1).astype("uint8")
        x, x_test, y, y_test = split(images, y, test_size=1 / 3, stratify=y, random_state=0)
    else:
        tfds = require("tensorflow_datasets", extra="tfds")
        data = tfds.load(FLAGS.dataset, data_dir=FLAGS.data_dir, batch_size=-1, as_supervised=True)
        (x, y), (x_test, y_test) = (tfds.as_numpy(data[part]) for part in ("train", "test"))
    return (x[: FLAGS.images], y[: FLAGS.images]), (x_test, y_test)


def convnet(images, widths):
    """Returns a classifier of raw pixels."""
    x = inputs = keras.Input(images.shape[1:])
    x = keras.layers.Rescaling(1 / float(images.max()))(x)
    for stage, width in enumerate(widths):
        x = keras.layers.Conv2D(width, 3, 1 + (stage > 0), "same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


def fit(model, loss, data, epochs, **options):
    decay = keras.optimizers.schedules.CosineDecay(1e-2, epochs * int(data.cardinality()))
    model.compile(keras.optimizers.Adam(decay), loss=loss, **options)
    model.fit(data, epochs=epochs, shuffle=False, verbose=2)


def shift(x):
    return functools.partial(soft_labels.crop_flip, padding=x.shape[1] // 14 + 1)


def shifted_at_random(x, y):
    """Returns what a teacher trains on: other shifts and flips in every epoch."""

    def shown(images, labels):
        seeds = tf.random.uniform((tf.shape(images)[0], 2), maxval=2**31 - 1, dtype=tf.int32)
        return shift(x)(images, seeds), labels

    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(BATCH).map(shown)


def trained_teacher(x, y):
    path = Path(f"{FLAGS.labels}_teacher.keras")
    if not path.exists():
        keras.utils.set_random_seed(0)
        teacher = convnet(x, (16, 32, 64))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        fit(teacher, loss, shifted_at_random(x, y), FLAGS.epochs)
        teacher.save(path)
    return keras.saving.load_model(path)  # another one would want labels of its own


def main(_):
    (x, y), (x_test, y_test) = load()
    teacher = trained_teacher(x, y)
    augment = soft_labels.compose(shift(x), functools.partial(soft_labels.mixup, alpha=0.4))
    given = {"data": x, "augment": augment, "views": FLAGS.views}
    soft = keras_kd.SoftLabels.write(FLAGS.labels, teacher=teacher, **given)
    print(soft.check(teacher, x))
    print(f"teacher: {report.top1(teacher.predict(x_test, verbose=0), y_test):.2%}")
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)  # mixed labels
    scores = {"student": [], "distilled": []}
    for seed in range(FLAGS.seeds):
        keras.utils.set_random_seed(seed)
        alone = convnet(x, (4, 8, 8))
        distilled = keras.models.clone_model(alone)
        distilled.set_weights(alone.get_weights())
        train = soft.dataset(x, y, batch_size=BATCH, seed=seed)
        pixels = train.map(lambda batch, labels: (batch["keras_kd.input"], labels))
        fit(alone, loss, pixels, FLAGS.epochs)
        distiller = keras_kd.Distiller(student=distilled, teacher=soft)
        fit(distiller, loss, train, FLAGS.epochs, alpha=0.5, temperature=2.0)
        for name, model in (("student", alone), ("distilled", distilled)):
            scores[name].append(report.top1(model.predict(x_test, verbose=0), y_test))
    for name, values in scores.items():
        each = ", ".join(f"{value:.2%}" for value in values)
        print(f"{name}: {statistics.mean(values):.2%} ({each})")


if __name__ == "__main__":
    app.run(main)
