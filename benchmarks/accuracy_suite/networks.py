"""Small students and the teachers that this suite trains itself."""

import keras
import numpy as np
from keras import layers

import keras_kd


def convolutional(
    widths: tuple[int, ...],
    shape: tuple[int, ...],
    scale: float,
    strides: tuple[int, ...] = (2, 2, 1),
    classes: int = 10,
) -> keras.Model:
    """Builds a student: convolutions and a linear layer."""
    image = keras.Input(shape)
    x = layers.Rescaling(1 / scale)(image)
    for width, stride in zip(widths, strides):
        x = layers.Conv2D(width, 3, stride, "same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(image, layers.Dense(classes)(layers.Flatten()(x)))


def residual(shape: tuple[int, ...], scale: float, classes: int = 10) -> keras.Model:
    """Builds a teacher of 73,000 parameters, which shifts its training images by a pixel."""
    image = keras.Input(shape)
    x = layers.Rescaling(1 / scale)(image)
    x = layers.RandomTranslation(1 / shape[0], 1 / shape[1], "constant", "nearest")(x)
    for number, width in enumerate((16, 32, 64)):
        x = layers.Conv2D(width, 3, 1 + (number > 0), "same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        y = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.Add()([x, layers.BatchNormalization(momentum=0.9)(y)]))
    return keras.Model(image, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


def bag_of_words(
    width: int, hidden: int = 0, dropout: float = 0.0, vocabulary: int = 3000, classes: int = 77
) -> keras.Model:
    """Builds a mean of word vectors with a linear layer, or with two of which one is hidden."""
    tokens = keras.Input((32,), dtype="int32")
    x = layers.Embedding(vocabulary, width, mask_zero=True)(tokens)
    x = layers.GlobalAveragePooling1D()(x)
    if hidden:
        x = layers.Dense(hidden, activation="relu")(layers.Dropout(dropout)(x))
        x = layers.Dropout(dropout)(x)
    return keras.Model(tokens, layers.Dense(classes)(x))


def dense(inputs: int, hidden: tuple[int, ...], outputs: int) -> keras.Model:
    """Builds fully connected layers on columns of numbers."""
    columns = x = keras.Input((inputs,))
    for units in hidden:
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(columns, layers.Dense(outputs)(x))


class FromSklearn(layers.Layer):
    """Gives a fitted estimator's prediction: numbers, or logarithms of class probabilities."""

    def __init__(self, estimator, outputs: int):
        super().__init__()
        self.estimator, self.outputs, self.supports_jit = estimator, outputs, False

    def call(self, x):
        """Asks on the host."""
        import tensorflow as tf

        answers = tf.numpy_function(self._predict, [x], tf.float32)
        return tf.ensure_shape(answers, (None, self.outputs))

    def _predict(self, x):
        if hasattr(self.estimator, "predict_proba"):
            return np.log(self.estimator.predict_proba(x).clip(1e-6)).astype("float32")
        return self.estimator.predict(x).astype("float32").reshape(-1, self.outputs)

    def compute_output_shape(self, shape):
        """Returns `(batch, outputs)`."""
        return (shape[0], self.outputs)


def from_sklearn(estimator, inputs: int, outputs: int) -> keras_kd.teachers.KerasModel:
    """Builds a teacher out of a fitted estimator of scikit-learn."""
    columns = keras.Input((inputs,))
    model = keras.Model(columns, FromSklearn(estimator, outputs)(columns))
    return keras_kd.teachers.KerasModel(model, head="logits")
