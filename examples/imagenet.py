"""ImageNet: ResNet-152 teaches ResNet-50, asked once (top-10 answers) or at every step.

On all GPUs of a machine, in mixed precision, from `tfds.load("imagenet2012")`; a run that is killed
goes on with its last epoch. It prints what it reached beside the published case study:

    model                    parameters    top-1
    ResNet-152               60,344,232    77.98 %
    ResNet-50                25,610,216    76.32 %
    ResNet-50, distilled     25,610,216    77.75 %

    python examples/imagenet.py --data_dir=DIR                   # stored answers, 4 views
    python examples/imagenet.py --data_dir=DIR --views=0         # the teacher online
"""

import functools
from pathlib import Path

import keras
import tensorflow as tf
from absl import app, flags

import keras_kd
from keras_kd import soft_labels
from keras_kd._extras import require

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Where tfds.load keeps its data sets.")
flags.DEFINE_string("output", "imagenet", "Folder for answers, backups and students.")
flags.DEFINE_string("teacher", "ResNet152", "A ResNet or a MobileNetV2 of keras.applications.")
flags.DEFINE_string("teacher_weights", "imagenet", "Weights, a file of them, or '' for none.")
flags.DEFINE_string("student", "ResNet50", "Another one.")
flags.DEFINE_multi_enum("runs", ["distilled"], ["alone", "distilled"], "What to train.")
flags.DEFINE_string("policy", "mixed_float16", "Precision; on TPUs and CPUs mixed_bfloat16.")
flags.DEFINE_integer("size", 224, "Height and width of the images.", 32)
flags.DEFINE_integer("views", 4, "Stored views of each image; 0 asks the teacher online.", 0)
flags.DEFINE_integer("batch", 1024, "Images in a step, of all devices.", 2)
flags.DEFINE_integer("epochs", 90, "Epochs.", 1)
PUBLISHED = {"teacher": 77.98, "alone": 76.32, "distilled": 77.75}


def network(name, classes, weights=None):
    """Returns a network of keras.applications from raw pixels to logits."""
    modules = {"MobileNetV2": "mobilenet_v2"}
    module = modules.get(name, "resnet_v2" if name.endswith("V2") else "resnet")
    preprocess = getattr(keras.applications, module).preprocess_input
    images = keras.Input((FLAGS.size, FLAGS.size, 3), name="image")
    return getattr(keras.applications, name)(
        input_tensor=preprocess(images),
        weights=weights,
        classes=classes,
        classifier_activation=None,
    )


crop = soft_labels.random_resized_crop


def views(images):
    """Returns labelled images, each seen through another crop in every epoch."""

    def seen(image, label):
        seeds = tf.random.uniform((1, 2), maxval=2**31 - 1, dtype=tf.int32)
        return crop(image[tf.newaxis], seeds, size=FLAGS.size)[0], label

    return images.map(seen, num_parallel_calls=tf.data.AUTOTUNE)


def training_data(images, teacher):
    """Returns batches for both runs, and who teaches: stored answers or the model itself."""
    if not FLAGS.views:
        return batches(views(images)), teacher
    soft = keras_kd.SoftLabels.write(
        Path(FLAGS.output) / "answers",
        teacher=teacher,
        data=images.map(lambda image, label: image),
        augment=functools.partial(crop, size=FLAGS.size),
        views=FLAGS.views,
    )
    return batches(soft.attach(images)), soft


def batches(rows):
    return rows.shuffle(16 * FLAGS.batch).batch(FLAGS.batch, drop_remainder=True).prefetch(2)


def held_out(images):
    resize = keras.layers.Resizing(FLAGS.size, FLAGS.size, crop_to_aspect_ratio=True, dtype="uint8")
    images = images.map(lambda image, label: (resize(image), label))
    return images.batch(FLAGS.batch).prefetch(2)


def compiled(model, steps, **options):
    rate = 0.1 * FLAGS.batch / 256
    decay = keras.optimizers.schedules.CosineDecay(
        0.0, FLAGS.epochs * steps, warmup_target=rate, warmup_steps=min(5, FLAGS.epochs) * steps
    )
    model.compile(
        keras.optimizers.SGD(decay, momentum=0.9, nesterov=True, weight_decay=5e-5),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **options,
    )
    return model


def train(name, network_of_student, teacher, data, steps, test):
    """Trains a student, alone or distilled, and returns its top-1 in percent."""
    student = network_of_student()
    if name == "alone":
        model = compiled(student, steps)
        if FLAGS.views:
            data = data.map(lambda x, y: (x["keras_kd.input"], y))
    else:
        distiller = keras_kd.Distiller(student=student, teacher=teacher)
        model = compiled(distiller, steps)
    backup = keras.callbacks.BackupAndRestore(f"{FLAGS.output}/backup_{name}")
    model.fit(data, epochs=FLAGS.epochs, callbacks=[backup], validation_data=test, verbose=2)
    student.save(f"{FLAGS.output}/{name}.keras")
    return 100 * model.evaluate(test, return_dict=True, verbose=0)["accuracy"]


def main(_):
    tfds = require("tensorflow_datasets", extra="tfds")
    keras.mixed_precision.set_global_policy(FLAGS.policy)
    (images, test), info = tfds.load(
        "imagenet2012",
        split=["train", "validation"],
        data_dir=FLAGS.data_dir,
        as_supervised=True,
        with_info=True,
    )
    classes = info.features["label"].num_classes
    steps = info.splits["train"].num_examples // FLAGS.batch
    with tf.distribute.MirroredStrategy().scope():
        teacher = compiled(network(FLAGS.teacher, classes, FLAGS.teacher_weights or None), steps)
        data, teaches = training_data(images, teacher)
        test = held_out(test)
        reached = {"teacher": 100 * teacher.evaluate(test, return_dict=True, verbose=0)["accuracy"]}
        build = functools.partial(network, FLAGS.student, classes)
        for name in FLAGS.runs:
            reached[name] = train(name, build, teaches, data, steps, test)
    counts = {"teacher": teacher.count_params()}
    print(f"{'':10} {'parameters':>12} {'top-1':>8} {'published':>10}")
    for name, top1 in reached.items():
        count = counts.get(name, build().count_params())
        print(f"{name:10} {count:12,} {top1:6.2f} % {PUBLISHED[name]:8.2f} %")


if __name__ == "__main__":
    app.run(main)
