import pytest

from keras_kd.export import VerificationError, contents


def test_custom_operators_are_refused():
    contents.require_plain_operators({"CONV_2D": 1})
    with pytest.raises(VerificationError, match=r"built-in operators only.*CUSTOM FlexErfinv"):
        contents.require_plain_operators({"CONV_2D": 1, "CUSTOM FlexErfinv": 1})


def test_a_file_without_its_weights_is_refused(cnn):
    kernels = 3 * 3 * 8 + 200 * 32 + 32 * 10
    contents.require_weights(cnn, kernels * 4 // 10 + 1, weight_bytes=4)
    with pytest.raises(VerificationError, match=f"weights.*{kernels * 4} bytes.*2000 bytes"):
        contents.require_weights(cnn, 2000, weight_bytes=4)
