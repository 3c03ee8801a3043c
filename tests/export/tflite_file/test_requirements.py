import keras
import pytest

from keras_kd.export import VerificationError
from keras_kd.export.student.signature import Signature
from keras_kd.export.tflite_file import requirements


def test_custom_operators_are_refused():
    requirements.require_plain_operators({"CONV_2D": 1})
    with pytest.raises(VerificationError, match=r"built-in operators only.*CUSTOM FlexErfinv"):
        requirements.require_plain_operators({"CONV_2D": 1, "CUSTOM FlexErfinv": 1})


def test_a_file_without_its_weights_is_refused(cnn):
    kernels = 3 * 3 * 8 + 200 * 32 + 32 * 10
    requirements.require_weights(Signature.of(cnn, 1), kernels * 4 // 10 + 1, weight_bytes=4)
    with pytest.raises(VerificationError, match=f"weights.*{kernels * 4} bytes.*2000 bytes"):
        requirements.require_weights(Signature.of(cnn, 1), 2000, weight_bytes=4)


def test_weights_of_the_training_alone_do_not_count():
    class Helped(keras.layers.Layer):
        def build(self, shape):
            self.helper = self.add_weight(shape=(6, 20000))

        def call(self, x, training=False):
            if training:
                self.add_loss(keras.ops.mean(x @ self.helper))
            return x

    x = keras.Input((6,))
    signature = Signature.of(keras.Model(x, keras.layers.Dense(3)(Helped()(x))), 1)
    requirements.require_weights(signature, 500, weight_bytes=4)
    with pytest.raises(VerificationError, match="about 72 bytes"):
        requirements.require_weights(signature, 5, weight_bytes=4)
