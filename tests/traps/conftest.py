"""What a distiller must get right, line by line, written once for keras_kd and keras.distillation.

By default the tests run on keras_kd. `python benchmarks/peer_defects.py` runs them on
`keras.distillation`, too, and prints the outcomes side by side. It is used as its documentation
says, with one mercy: after line 1 its loss is given as a `KLDivergence` object, since its default
does not distil. What a system cannot be asked is skipped, and counts as not applicable.
"""

import keras
import pytest
from keras import layers

from tests.traps.systems import Ours, Theirs


@pytest.fixture(
    params=[Ours, pytest.param(Theirs, marks=pytest.mark.peer)],
    ids=["keras_kd", "keras.distillation"],
)
def system(request):
    if request.param is Theirs and not hasattr(keras, "distillation"):
        pytest.skip("this version of Keras has no keras.distillation")
    return request.param()


@pytest.fixture
def two_outputs():
    def build(width=8):
        inputs = keras.Input((4,))
        hidden = layers.Dense(width, activation="relu")(inputs)
        return keras.Model(inputs, {n: layers.Dense(3, name=n)(hidden) for n in ("a", "b")})

    return build
