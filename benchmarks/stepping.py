"""Networks of a teacher's and a student's kind, and their steps, as benchmarks time them."""

import keras
import tensorflow as tf
from keras import layers


def student_model(filters=32):
    """Returns a small convolutional network; `filters` is the width of its last map, 8x8."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(name="map"),
            layers.GlobalAveragePooling2D(name="pooled"),
            layers.Dense(10),
        ]
    )


def teacher_model():
    """Returns a network of three residual blocks, whose last map is 8x8 with 64 channels."""
    x = inputs = keras.Input((32, 32, 3))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        shortcut = layers.Conv2D(filters, 1, strides=strides)(x)
        x = layers.Conv2D(filters, 3, strides=strides, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.ReLU()(layers.Add()([layers.BatchNormalization()(x), shortcut]))
    x = layers.GlobalAveragePooling2D(name="pooled")(layers.Identity(name="map")(x))
    return keras.Model(inputs, layers.Dense(10)(x))


def cross_entropy():
    """Returns the hard loss of both."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def trained(model, batch, steps, jit, **compiled):
    """Returns a callable that trains `model` for some steps."""
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), jit_compile=jit, **compiled)
    model.fit(batch, verbose=0)  # builds what Keras builds late
    model.make_train_function()
    iterator = iter(batch.repeat())

    def run():
        for _ in range(steps):
            logs = model.train_function(iterator)
        float(logs["loss"])

    return run


def forward(teacher, batch, steps, jit):
    """Returns a callable that asks `teacher` for some batches."""
    call = tf.function(lambda x: teacher(x, training=False), jit_compile=jit)
    iterator = iter(batch.repeat())

    def run():
        for _ in range(steps):
            logits = call(next(iterator)[0])
        logits.numpy()

    return run
