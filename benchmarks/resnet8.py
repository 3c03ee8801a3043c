"""MLPerf Tiny's reference network for CIFAR-10: 78,666 parameters, 87.19 % with its own weights.

The architecture is that of mlcommons/tiny, benchmark/training/image_classification, in Keras 3.
"""

import os

import h5py
import keras
from keras import layers


def resnet8(classes: int = 10, activation: str | None = None) -> keras.Model:
    """Builds the network for images `(32, 32, 3)` of raw values, float32 from 0 to 255.

    Args:
        classes: Number of classes.
        activation: Of the output: `None` for logits, `"softmax"` as in the reference.

    Returns:
        A Functional model without trained weights.
    """
    image = keras.Input((32, 32, 3), name="image")
    x = layers.ReLU()(_convolution(image, 16))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(_convolution(x, filters, strides=strides))
        y = _convolution(y, filters)
        if strides > 1:
            x = _kernel(filters, 1, strides)(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    dense = layers.Dense(classes, activation=activation, kernel_initializer="he_normal")
    return keras.Model(image, dense(x), name="resnet8")


def load_reference_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Sets the weights of a `resnet8()` to those of `pretrainedResnet.h5`, a file of Keras 2.

    Args:
        model: A `resnet8` of 10 classes.
        path: The `.h5` file.
    """
    kinds = {
        "conv2d": (layers.Conv2D, ("kernel", "bias")),
        "batch_normalization": (
            layers.BatchNormalization,
            ("gamma", "beta", "moving_mean", "moving_variance"),
        ),
        "dense": (layers.Dense, ("kernel", "bias")),
    }
    with h5py.File(path) as file:
        for kind, (layer_class, variables) in kinds.items():
            group = (layer for layer in model.layers if isinstance(layer, layer_class))
            for number, layer in enumerate(group):
                name = f"{kind}_{number}" if number else kind
                stored = file["model_weights"][name][name]
                layer.set_weights([stored[f"{variable}:0"][()] for variable in variables])


def _convolution(x, filters, strides=1):
    return layers.BatchNormalization()(_kernel(filters, 3, strides)(x))


def _kernel(filters, size, strides):
    return layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(1e-4),
    )
