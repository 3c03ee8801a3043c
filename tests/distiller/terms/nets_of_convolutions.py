"""Networks with a layer to connect."""

import re

import keras
import pytest
from keras import layers

from keras_kd import Distiller, Term

FORM = re.compile(r" must .*\. Expected: .+\. Received: .+\. [A-Z].+\.$", re.DOTALL)


def refused(error, words):
    """Expects `error` with these words and in the form of all messages."""
    return pytest.raises(error, match=f"(?s){words}", check=lambda e: bool(FORM.search(str(e))))


def net(filters=4, size=8):
    images = keras.Input((size, size, 3))
    conv = layers.Conv2D(filters, 3, padding="same", name="conv")(images)
    pool = layers.GlobalAveragePooling2D(name="pool")(conv)
    return keras.Model(images, layers.Dense(3, name="logits")(pool))


def build(loss, student="conv", teacher="conv", projector=None, models=None):
    first, second = models or (net(4), net(6))
    term = Term(loss, teacher=teacher, student=student, projector=projector, name="mine")
    return Distiller(student=first, teacher=second, terms=[term])
