"""What pages and docstrings use without making it: digits, and small classifiers of them."""

import functools

import keras
from sklearn.datasets import load_digits

import keras_kd

# The pages that go on from names, and which. All others begin with nothing.
GIVEN = {
    "README.md": "student teacher train test images",
    "compression.md": "keras keras_kd cross_entropy student teacher x_test x_train y_train",
    "scale.md": "keras_kd crop_flip teacher x",
    "showing.md": "keras_kd teacher student alone distiller names x_train y_train x_test y_test",
    "teachers.md": "keras keras_kd a b c loss mobilenet model names resnet student teacher vit "
    "x_train y_train x_test y_test",
}
_TRAINED = ("teacher", "resnet", "mobilenet", "vit", "a", "b", "c")


def given(wanted):
    """Returns those of the wanted names that there are, models new ones."""
    names = {**_modules(), **_data()}
    names["student"] = _classifier(8)
    names["model"] = _classifier(32, side=224) if "model" in wanted else None
    for name in {*_TRAINED} & {*wanted} | {"teacher"}:
        names[name] = keras.models.clone_model(_trained(32))
        names[name].set_weights(_trained(32).get_weights())
    if "alone" in wanted:
        names["alone"] = _trained(8)
    if "distiller" in wanted:
        distiller = keras_kd.Distiller(student=names["student"], teacher=names["teacher"])
        distiller.compile("adam", loss=names["loss"], metrics=["accuracy"])
        names["distiller"] = distiller
    return {name: names[name] for name in wanted if name in names}


def _modules():
    return {
        "functools": functools,
        "keras": keras,
        "keras_kd": keras_kd,
        "report": keras_kd.report,
        "crop_flip": keras_kd.soft_labels.crop_flip,
        "mixup": keras_kd.soft_labels.mixup,
    }


@functools.cache
def _data():
    import tensorflow as tf

    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8, 1).astype("float32")
    train, test = (x[:400], y[:400]), (x[400:500], y[400:500])
    names = {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    names["cross_entropy"] = names["loss"]
    names["names"] = [str(digit) for digit in range(10)]
    names["x"], names["y"] = names["x_train"], names["y_train"] = train
    names["x_val"], names["y_val"] = names["x_test"], names["y_test"] = test
    names["train"] = tf.data.Dataset.from_tensor_slices(train).batch(64)
    names["test"] = tf.data.Dataset.from_tensor_slices(test).batch(64)
    names["images"] = train[0]
    return names


def _classifier(width, side=8):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((side, side, 1), name="image"),
            layers.Conv2D(width, 3, strides=2, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(name="pooled"),
            layers.Dense(10, name="logits"),
        ]
    )


@functools.cache
def _trained(width):
    names, model = _data(), _classifier(width)
    model.compile(keras.optimizers.Adam(0.01), loss=names["loss"], metrics=["accuracy"])
    model.fit(names["x_train"], names["y_train"], epochs=3, verbose=0)
    return model
