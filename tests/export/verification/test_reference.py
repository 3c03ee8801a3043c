import keras
import numpy as np
import pytest

from keras_kd.export import VerificationError
from keras_kd.export.student.signature import Signature
from keras_kd.export.verification import reference


def test_a_keras_model_that_is_not_finite(cnn):
    broken = keras.models.clone_model(cnn)
    broken.set_weights([w * np.nan for w in cnn.get_weights()])
    signature = Signature.of(broken, 1)
    first = broken.weights[0].path
    with pytest.raises(
        ValueError, match=f"finite outputs.*in 10 of its weights, first in '{first}'"
    ):
        reference.reference(signature, broken, signature.generated(2))


def test_a_keras_model_that_overflows():
    start = keras.initializers.Constant(1e30)
    huge = [keras.layers.Dense(2, kernel_initializer=start) for _ in "ab"]
    signature = Signature.of(keras.Sequential([keras.Input((3,)), *huge]), 1)
    with pytest.raises(ValueError, match=r"finite outputs.*\['output_0'\], from finite weights"):
        reference.reference(signature, signature.student, signature.generated(2))


def test_samples_that_the_keras_model_fails_on(cnn):
    signature = Signature.of(cnn, 1)
    with pytest.raises(
        ValueError, match=r"(?s)answer the samples.*'image' from 1 to 1.*model.predict"
    ):
        reference.reference(signature, cnn, {"image": np.ones((2, 12, 12, 3), "float32")})


def test_a_float32_copy_must_be_like_the_original(cnn):
    signature = Signature.of(keras.models.clone_model(cnn), 1)
    with pytest.raises(VerificationError, match="The float32 copy must agree"):
        reference.reference(signature, cnn, signature.generated(20))
